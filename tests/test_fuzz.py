"""Every reader on valid and on evil inputs, and the inputs that fuzzing found: one line each, nothing else.

`tests/fuzz/` has the targets, `make fuzz` looks for more.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.guard import Breach, watching
from fuzz.target import File, Target
from fuzz.targets import TARGETS, make

from mixbench.errors import MixbenchError

DEEP = b"[" * 100_000
FOUND = {
    "a number of 5,000 digits": ("pairs", b"\0" + b"7" * 5000, "JSON that cannot be used: Exceeds the limit"),
    "lists in lists as pairs": ("pairs", b"\0" + DEEP, "JSON that cannot be used: nested too deeply"),
    "lists in lists as a text": ("texts", b"\x07" + DEEP, "not JSON (nested too deeply)"),
    "lists in lists in a task": ("task", b"\0a=" + DEEP, "TOML that cannot be used: nested too deeply"),
    "lists in lists of mteb": ("mteb-result", b"\0" + DEEP, "no result of mteb (RecursionError"),
    "a description of a model as a list": ("mteb-result", b"\1[]", "no description of a model (Attribute"),
    "a quoted field without an end": (
        "beir",
        b'\2query-id\tcorpus-id\tscore\n"' + b"x" * 140_000,
        "1 columns",
    ),
    "a plan that is a number": ("checkpoint", b"\x031", "the plan of this run cannot be read"),
    "keys without an end": ("teacher-store", b"\0\x93NUMPY\1\0\4\0{'a\n", "damaged ("),
    "an empty row of tokens": ("token-rows", b"\0", "damaged ("),
    "a version of 3,000 letters": (
        "result",
        b'\0{"schema_version": "' + b"v" * 3000 + b'"}',
        "schema_version is 'vvv",
    ),
    "a command with an open quotation mark": (
        "recipes",
        b"\0[runs.a]\ncommands = ['\"']",
        "no shell reads (No closing quotation)",
    ),
}
"""Name -> target, input, and what its message holds."""


@pytest.fixture
def tried(tmp_path: Path) -> Callable[[Target, bytes], str | None]:
    """Return what reads an input in a folder of its own; it returns the message that the input gets."""

    def attempt(target: Target, data: bytes) -> str | None:
        folder = tmp_path / "target"
        folder.mkdir(exist_ok=True)
        target.prepare(folder)
        return target.attempt(folder, data)

    return attempt


@pytest.mark.parametrize("name", TARGETS)
def test_each_reader_takes_what_is_valid_and_answers_all_else_in_one_line(
    name: str, tried: Callable[[Target, bytes], str | None]
) -> None:
    target = make(name)
    for place, file in enumerate(target.files):
        messages = [tried(target, bytes([place]) + seed) for seed in file.seeds]
        assert messages[0] is None


@pytest.mark.parametrize(("name", "data", "message"), FOUND.values(), ids=FOUND.keys())
def test_what_fuzzing_found_gets_one_line(
    name: str, data: bytes, message: str, tried: Callable[[Target, bytes], str | None]
) -> None:
    told = tried(make(name), data)
    assert told is not None
    assert message in told


def write_outside(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")


def leave_by_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    (folder / "link" / "outside").write_text("x")


def run_what_is_there(folder: Path) -> None:
    exec(compile((folder / "input").read_text(), str(folder / "input"), "exec"))


def start_a_process(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def open_a_socket(folder: Path) -> None:
    socket.socket().close()


RULES = {
    "open of ": write_outside,
    "outside the folder": leave_by_a_link,
    "runs code of ": run_what_is_there,
    "subprocess.Popen": start_a_process,
    "socket.__new__": open_a_socket,
}


@pytest.mark.parametrize(("said", "read"), RULES.items())
def test_a_reader_that_breaks_a_rule_is_told_apart(
    said: str, read: Callable[[Path], None], tried: Callable[[Target, bytes], str | None]
) -> None:
    with pytest.raises(Breach, match=said):
        tried(Target(read=read, files=[File(name="input", seeds=[])]), b"\0x = 1")


def test_a_reader_that_takes_much_memory_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), watching(tmp_path, memory=1 << 28):
        bytearray(1 << 29)
    bytearray(1 << 29)


@pytest.mark.parametrize("said", ["two\nlines", "\x1b[2J", "half \ud800", "x" * 1000])
def test_a_message_that_is_no_short_line_is_told_apart(
    said: str, tried: Callable[[Target, bytes], str | None]
) -> None:
    class Raw(MixbenchError):
        __str__ = Exception.__str__

    def read(folder: Path) -> None:
        raise Raw(said)

    with pytest.raises(AssertionError):
        tried(Target(read=read, files=[File(name="input", seeds=[])]), b"\0")


def test_an_error_shows_what_would_command_a_terminal_as_letters() -> None:
    assert str(MixbenchError("a\x1b[2J\ud800\u2028b\nc")) == "a\\x1b[2J\\ud800\\u2028b\nc"


def test_the_runner_names_its_targets() -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"], cwd=root, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout.split() == list(TARGETS)
