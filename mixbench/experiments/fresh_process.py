"""A contender of a bench that is a program: each round is a fresh process, start-up included."""

import os
import subprocess
import time
from collections.abc import Sequence

from mixbench.errors import MixbenchError

TAIL = 300
"""Characters that an error quotes of what a failed process said."""


class FreshProcess:
    """`command` run anew in each round; `printed` has the standard output of each.

    Nothing is asked of the hub. With `threads` the libraries in the process use so many.
    """

    def __init__(
        self, name: str, settings: str, command: Sequence[str], *, threads: int | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.printed: list[str] = []
        self._command = list(command)
        self._environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        # Without compiled modules on disk an import takes three times as long, which no user has twice.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if threads is not None:
            self._environment |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}

    def run_round(self) -> float:
        """Run the program to its end, and return the seconds.

        Raises:
            MixbenchError: it failed; quotes the last of what it said.
        """
        start = time.perf_counter()
        done = subprocess.run(
            self._command, env=self._environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise MixbenchError(f"exit status {done.returncode}: {last[:TAIL]}")
        self.printed.append(done.stdout)
        return seconds
