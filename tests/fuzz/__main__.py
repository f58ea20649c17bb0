"""`python -m tests.fuzz TARGET --minutes N`: atheris on one target, each distinct failure kept and told.

A failure does not end the run: its smallest input is kept in the folder given by --output, under a name made
of what came out and where. A hang, or a library that ends the process, ends it, and atheris keeps that input.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .guard import MEMORY
from .targets import TARGETS, make

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Fuzz one target, or print the names of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="name of a target; without one, all names are printed")
    parser.add_argument("--minutes", type=float, default=1.0, help="of processor time")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fuzz", help="inputs and failures")
    given = parser.parse_args()
    if given.target is None:
        print(*TARGETS, sep="\n")
        return
    import atheris

    sys.dont_write_bytecode = True
    with atheris.instrument_imports(include=["mixbench", "tomllib"], enable_loader_override=False):
        target = make(given.target)
    output = given.output / given.target
    (output / "inputs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_fast(), prefix="mixbench-fuzz-") as folder:
        _Campaign(target, output, Path(folder)).run(atheris, given.minutes)


class _Campaign:
    def __init__(self, target, output: Path, folder: Path) -> None:
        self.target, self.output, self.folder = target, output, folder / "target"
        self.folder.mkdir()
        self.target.prepare(self.folder)
        self.runs = self.refused = 0
        self.failures: dict[str, int] = {}
        self.until = math.inf
        self.told = time.process_time()
        self.name = f"said-{time.time():.0f}.json"
        for seed in self.target.seeds():
            (output / "inputs" / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
            self.one(seed, memory=None)  # loads what is loaded on first use

    def run(self, atheris, minutes: float) -> None:
        self.until = time.process_time() + 60 * minutes
        options = {
            "timeout": 60, "rss_limit_mb": 6000, "max_len": 20_000,
            "artifact_prefix": f"{self.output}/ended-", "close_fd_mask": 0, "verbosity": 0,
        }  # fmt: skip
        words = [sys.argv[0], *(f"-{key}={value}" for key, value in options.items())]
        atheris.Setup([*words, str(self.output / "inputs")], self.one)
        atheris.Fuzz()

    def one(self, data: bytes, memory: int | None = MEMORY) -> None:
        self.runs += 1
        try:
            self.refused += self.target.attempt(self.folder, data, memory=memory) is not None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # tokenizers has a panic that is no Exception
            self._keep(data, error)
        if time.process_time() - self.told > 1:
            self._tell()
            if self.told > self.until:
                shutil.rmtree(self.folder, ignore_errors=True)
                os._exit(0)  # atheris never returns

    def _keep(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/mixbench/" in frame.filename] or frames
        where = f"{Path(own[-1].filename).stem}-{own[-1].lineno}"
        name = f"{type(error).__name__}-{where}"
        if self.failures.get(name, 1 << 30) > len(data):
            self.failures[name] = len(data)
            (self.output / f"{name}.input").write_bytes(data)
            (self.output / f"{name}.txt").write_text("".join(traceback.format_exception(error)))

    def _tell(self) -> None:
        self.told = time.process_time()
        said = {
            "cpu_seconds": round(self.told), "runs": self.runs, "refused": self.refused,
            "failures": self.failures,
        }  # fmt: skip
        (self.output / self.name).write_text(json.dumps(said) + "\n")


def _fast() -> Path | None:
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


if __name__ == "__main__":
    main()
