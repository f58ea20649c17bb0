"""Leaderboards: results in, a page out, and the proof that the page says what the results do."""

from mixbench.leaderboard.board import check_board, write_board
from mixbench.leaderboard.markdown import render

__all__ = ["check_board", "render", "write_board"]
