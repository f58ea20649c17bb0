"""What the person who waits is told, on standard error: lines, and a bar where that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mixbench.experiments.terminal import Terminal

log = Terminal(stderr=True)


def say(message: str) -> None:
    """Print one line, as it is: ids and paths may hold what rich takes for markup."""
    log.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar that fills as the function it gives is told how much more is done; gone when left.

    Without a `total` the bar only moves.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=log, transient=True, disable=not log.is_terminal) as shown:
        task = shown.add_task(escape(description), total=total)
        yield lambda done: shown.advance(task, done)


@contextmanager
def download_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that is told the bytes so far, and of how many (0 where unknown)."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=log, transient=True, disable=not log.is_terminal) as shown:
        task = shown.add_task(escape(description), total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total or None)
