"""The commands of one run as processes, one after another, with a log and what they print."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Protocol

from mixbench.experiments.forked import start_command
from mixbench.experiments.run_record import record_path

GRACE = 10.0
"""Seconds that a process has to end in when asked to, before it is killed."""
TAIL = 200
"""Characters of a log's last line that a report quotes."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off an interrupt until the block ends: a process that starts in it is known to who must end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        raise KeyboardInterrupt


class Printing(Protocol):
    """What is known of a run here: its name, and the file that is kept of what it prints."""

    @property
    def name(self) -> str: ...

    @property
    def printed(self) -> str | None: ...


class RunProcess:
    """The commands of a run, of which the first is started at once in the folder `work`.

    Attributes:
        seconds: of each command that has ended.
    """

    def __init__(
        self,
        work: Path,
        run: Printing,
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str],
    ) -> None:
        self.run, self.work, self.waiting = run, work, list(commands)
        self.environment = environment
        self.log = record_path(work, run.name).with_suffix(".log")
        self.output = self.log.with_suffix(".out")
        self.seconds: list[float] = []
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self.output.write_bytes(b"")
        self.began, self.process = self._next()

    def step(self) -> int | None:
        """Return the status of the run if it has ended; start its next command if one of them has."""
        status = self.process.exitcode
        if status is None:
            return None
        self.seconds.append(round(monotonic() - self.began, 1))
        if status or not self.waiting:
            return status
        with uninterrupted():
            self.began, self.process = self._next()
        return None

    def keep_printed(self) -> None:
        """Put what was printed in its place, where the run names one."""
        if self.run.printed is not None:
            place = self.work / self.run.printed
            place.parent.mkdir(parents=True, exist_ok=True)
            self.output.replace(place)

    def tail(self) -> str:
        """Return the last line of the log, and at most the end of it."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["the log is empty"]
        return lines[-1][-TAIL:]

    def stop(self) -> None:
        """End the process, and what it has started itself."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                assert self.process.pid is not None
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                self.process.kill()  # it has ended, or does not lead its session yet
            self.process.join(GRACE)
            if self.process.exitcode is not None:
                return

    def _next(self) -> tuple[float, BaseProcess]:
        words = self.waiting.pop(0)
        process = start_command(words, self.environment, log=self.log, output=self.output)
        return monotonic(), process
