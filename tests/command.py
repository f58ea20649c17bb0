"""The command line as tests run it: in an empty folder, beside one tiny task and its data."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_data import make_folder

from mixbench import cli

TASK = """description = "Three documents."
folder = "tiny"
eval_split = "test"
licence = "CC0-1.0"
redistribute = true
"""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return what runs `mixbench` in an empty folder beside tasks/zoo/tiny.toml and the data of that task."""
    monkeypatch.delenv("MIXBENCH_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    add_task(tmp_path, "tiny")
    make_folder(tmp_path / "data" / "tiny")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["mixbench", *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *capfd.readouterr())

    return call


def add_task(tmp_path: Path, name: str, text: str = TASK) -> None:
    path = tmp_path / "tasks" / "zoo" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def evaluate(run: Run, *arguments: object) -> Ended:
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--output", "out")
    return run("eval", *places, *arguments)


def refused(ended: Ended, *parts: str) -> None:
    """Check an expected error: status 1, nothing printed or written, one line on standard error."""
    assert ended.status == 1
    assert ended.out == ""
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("mixbench: ")
    assert "Traceback" not in ended.err
    for part in parts:
        assert part in last
    assert not Path("out").exists()
