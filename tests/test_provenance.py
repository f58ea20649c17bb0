"""What a result says of its making: the code, the versions, the machine, and the memory that it took."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mixbench
from mixbench.evaluation.cost import forget_peaks, peak_memory_bytes
from mixbench.evaluation.provenance import describe_run, source_sha256, source_state


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are reset on Linux only")
def test_peak_memory_is_that_of_the_task_and_not_of_an_earlier_one() -> None:
    # In a child: this process's allocator may keep what is freed.
    script = (
        "from mixbench.evaluation.cost import forget_peaks, peak_memory_bytes as peak\n"
        "block = bytearray(b'x' * 300_000_000)\nbefore = peak()\ndel block\nforget_peaks()\n"
        "print(before - peak() > 200_000_000)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"


def test_peak_memory_counts_bytes() -> None:
    forget_peaks()

    assert 10_000_000 < peak_memory_bytes() < 100_000_000_000


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, env=environment
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A committed checkout with a package of one module."""
    root = tmp_path / "checkout"
    (root / "mixbench").mkdir(parents=True)
    (root / "mixbench" / "module.py").write_text("ONE = 1\n")
    (root / "pyproject.toml").write_text("")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_sources_are_dirty_when_they_differ_from_the_commit(checkout: Path) -> None:
    commit, dirty = source_state(checkout / "mixbench")
    assert commit is not None
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert not dirty

    (checkout / "notes.txt").write_text("not a source")
    assert source_state(checkout / "mixbench") == (commit, False)

    (checkout / "mixbench" / "new.py").write_text("TWO = 2\n")
    assert source_state(checkout / "mixbench") == (commit, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_checkout_without_a_commit_is_dirty(tmp_path: Path) -> None:
    (tmp_path / "mixbench").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    git(tmp_path, "init", "--quiet")

    assert source_state(tmp_path / "mixbench") == (None, True)


def test_a_checkout_that_git_cannot_read_is_dirty(tmp_path: Path) -> None:
    for folder in ("mixbench", ".git"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text("")

    assert source_state(tmp_path / "mixbench") == (None, True)


def test_an_installed_package_has_no_commit_and_is_not_dirty(tmp_path: Path) -> None:
    (tmp_path / "mixbench").mkdir()

    assert source_state(tmp_path / "mixbench") == (None, False)


def test_the_source_hash_covers_what_the_package_carries_but_nothing_compiled(tmp_path: Path) -> None:
    package = tmp_path / "mixbench"
    package.mkdir()
    (package / "module.py").write_text("ONE = 1\n")
    first = source_sha256(package)

    for left_out in ("__pycache__", "_tasks"):
        (package / left_out).mkdir()
        (package / left_out / "file").write_text("")
    assert source_sha256(package) == first

    (package / "data.jsonl").write_text("{}\n")
    assert source_sha256(package) != first


def test_provenance_names_versions_and_the_day() -> None:
    provenance = describe_run(command="mixbench eval", device="cpu", seed=3)

    assert provenance.packages["pytrec-eval-terrier"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", provenance.date)
    assert provenance.seed == 3
    assert provenance.threads >= 1
    assert provenance.source_sha256 == source_sha256(Path(mixbench.__file__).parent)
