"""A board on disk: a benchmark's README.md among its results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mixbench.files import write_atomic
from mixbench.leaderboard.analysis import Analysis, analyse
from mixbench.leaderboard.evidence import Evidence, read_evidence
from mixbench.leaderboard.markdown import render
from mixbench.results import find_results
from mixbench.tasks import Task

PAGE, HTML_PAGE = "README.md", "index.html"
"""`index.html` is there where somebody wrote it, and is checked then."""


def read_board(folder: Path, tasks: Iterable[Task]) -> Analysis:
    """Return the analysis of the benchmark whose folder of results is `folder`.

    `tasks` are the benchmark's, those without results too. Raises MixbenchError as `find_results`,
    `read_evidence` and `analyse`.
    """
    return read_boards([folder], tasks)


def read_boards(folders: Sequence[Path], tasks: Iterable[Task]) -> Analysis:
    """Return the analysis of several benchmarks as one: its means and ranks are over the tasks of all."""
    found = [(folder, find_results(folder)) for folder in folders]
    parts = [read_evidence(folder, results) for folder, results in found]
    evidence = Evidence(
        query_scores={place: each for part in parts for place, each in part.query_scores.items()},
        clusters={key: each for part in parts for key, each in part.clusters.items()},
    )
    name = "+".join(folder.resolve().name for folder in folders)
    return analyse(name, [result for _, results in found for result in results], tasks, evidence)


def render_board(folder: Path, tasks: Iterable[Task], *, allow_dirty: bool = False) -> str:
    """Return the page in Markdown of the benchmark whose folder of results is `folder`.

    Raises MixbenchError as `read_board` and `render`.
    """
    return render(read_board(folder, tasks), allow_dirty=allow_dirty)


def write_board(folder: Path, tasks: Iterable[Task], *, allow_dirty: bool = False) -> Path:
    """Write the page of the benchmark whose folder of results is `folder`; return the page's path.

    Raises MixbenchError as `render_board`.
    """
    page = folder / PAGE
    write_atomic(page, render_board(folder, tasks, allow_dirty=allow_dirty))
    return page
