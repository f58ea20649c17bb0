"""Where a result comes from: code, versions, machine and day."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mixbench.files import sha256_files
from mixbench.results import Provenance

PACKAGE = Path(__file__).parent.parent
PACKAGES = (
    "beir",
    "mteb",
    "numpy",
    "pydantic",
    "PyStemmer",
    "pytrec-eval-terrier",
    "rank-bm25",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)
"""Packages whose release can change a score or a speed."""


def describe_run(*, command: str, device: str, seed: int, package: Path = PACKAGE) -> Provenance:
    """Return the provenance of a run of `command` that starts now, on `device` ("cpu", "cuda")."""
    commit, dirty = source_state(package)
    return Provenance(
        command=command,
        mixbench=_version("mixbench") or "unreleased",
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        commit=commit,
        dirty=dirty,
        source_sha256=source_sha256(package),
        device=device,
        machine=_machine(device),
        threads=_threads(),
        seed=seed,
        date=datetime.now(UTC).date().isoformat(),
    )


def source_state(package: Path) -> tuple[str | None, bool]:
    """Return the commit of the checkout whose folder `package` is, and whether its sources differ from it.

    (None, False) where the package is installed outside a checkout. What cannot be shown to be clean (no
    commit yet, no git to ask) is dirty.
    """
    root = package.parent
    if not ((root / ".git").exists() and (root / "pyproject.toml").exists()):
        return None, False
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    status = _git(root, "status", "--porcelain", "--", package.name, "tasks", "pyproject.toml")
    return commit, status != ""


def source_sha256(package: Path = PACKAGE) -> str:
    """Return one SHA-256 over the files of mixbench itself: code and what it carries, but no task files.

    It is the same in a checkout and in what is installed from it. Compiled and hidden files do not enter.
    """
    paths = [
        path
        for path in package.rglob("*")
        if path.is_file() and not any(_left_out(name) for name in path.relative_to(package).parts)
    ]
    return sha256_files(package, paths)


def _left_out(name: str) -> bool:
    return name.startswith(".") or name in {"__pycache__", "_tasks"}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _threads() -> int:
    """Return the threads of one operation: torch's where torch is loaded, else our processors."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
