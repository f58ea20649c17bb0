"""Leaderboards: results in, a page out, and the proof that the page says what the results do."""

from mixbench.leaderboard.analysis import Analysis, analyse
from mixbench.leaderboard.board import read_board, read_boards, render_board, write_board
from mixbench.leaderboard.check import check_board
from mixbench.leaderboard.evidence import Evidence, read_evidence
from mixbench.leaderboard.export import to_csv, to_json
from mixbench.leaderboard.markdown import render

__all__ = [
    "Analysis",
    "Evidence",
    "analyse",
    "check_board",
    "read_board",
    "read_boards",
    "read_evidence",
    "render",
    "render_board",
    "to_csv",
    "to_json",
    "write_board",
]
