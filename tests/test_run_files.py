"""`mixbench run`: files of runs, read, listed, run and resumed; and the committed file of them."""

import json
import tomllib
from pathlib import Path

import pytest
import typer.main
from command import Run, refused

from mixbench.cli import app
from mixbench.experiments.recipes import read_recipes
from mixbench.experiments.run_list import fill, in_order

RECIPES = Path(__file__).parent.parent / "leaderboards" / "ablations" / "recipes.toml"
FILE = """
[values]
kind = "nothing"
listed = "list {kind}"

[runs.second]
commands = ["{listed}"]
printed = "second.txt"
needs = ["first"]

[runs.first]
commands = ["{listed}"]
printed = "first.txt"
minutes = 0.1
"""
GIVEN = ("--value", "kind=tasks", "--work", "made")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("runs.toml").write_text(FILE)
    return tmp_path


def test_a_file_is_run_in_the_order_of_needs_and_the_next_call_finds_it_done(run: Run, runs: Path) -> None:
    listed = run("run", "runs.toml", "--list", *GIVEN)
    assert listed.out.index("first") < listed.out.index("second")
    assert (listed.out.count("missing"), Path("made").exists()) == (2, False)

    ended = run("run", "runs.toml", *GIVEN)
    assert (ended.status, ended.out.split()) == (0, ["first", "second"]), ended.err
    assert Path("made/second.txt").read_text() == Path("made/first.txt").read_text() != ""
    before = Path("made/first.txt").stat().st_mtime_ns

    assert run("run", "runs.toml", *GIVEN).out.split() == ["first", "second"]
    assert Path("made/first.txt").stat().st_mtime_ns == before
    assert run("run", "runs.toml", "--list", *GIVEN).out.count("done") == 2


def test_a_record_has_what_the_file_has_and_not_where_the_data_is(run: Run, runs: Path) -> None:
    Path("runs.toml").write_text("[runs.a]\ncommands = ['list tasks --tasks-dir {it}']\nprinted = 'a.txt'\n")
    assert run("run", "runs.toml", "--value", "it=tasks", "--work", "made").status == 0
    assert json.loads(Path("made/runs/a.json").read_text())["commands"] == [
        ["list", "tasks", "--tasks-dir", "{it}"]
    ]


def test_one_run_brings_what_it_needs_and_no_more(run: Run, runs: Path) -> None:
    assert run("run", "runs.toml", "first", *GIVEN).out.split() == ["first"]
    assert not Path("made/second.txt").exists()
    refused(run("run", "runs.toml", "frist", *GIVEN), "unknown run 'frist'", "did you mean 'first'")


def test_a_run_that_fails_stops_those_that_need_it(run: Run, runs: Path) -> None:
    ended = run("run", "runs.toml", "--work", "made")
    assert (ended.status, ended.out) == (1, "")
    assert "first: failed" in ended.err
    assert "second: skipped" in ended.err
    assert "1 runs failed: first" in ended.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("runs = [", "no file of runs can be read here"),
        ("[values]\na = 'b'\n", "no runs; give tables [runs.NAME]"),
        ("[runs.a]\ncommands = ['list tasks']\n[other]\n", "unknown keys ['other']"),
        ("[values]\na = 1\n[runs.a]\ncommands = ['list tasks']\n", "value 'a' must be a text"),
        ("[runs.a]\ncommands = ['list tasks']\ncolour = 'red'\n", "unknown keys ['colour'] of a run"),
        ("[runs.a]\ncommands = ['list {what}']\nprinted = 'a'\n", "nothing is given for {what}"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused(run: Run, runs: Path, content: str, message: str) -> None:
    Path("bad.toml").write_text(content)
    refused(run("run", "bad.toml"), message)


def test_a_value_has_a_name(run: Run, runs: Path) -> None:
    refused(run("run", "runs.toml", "--value", "=x"), "--value '=x': give NAME=TEXT")


def test_each_committed_run_is_understood_by_its_verb() -> None:
    values = {"work": "w", "device": "cpu", "pairs": "p", "books": "b.txt"}
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for made in in_order(read_recipes(RECIPES, {})):
        for verb, *words in fill(made, values):
            verbs[verb].make_context(verb, list(words))
    assert len(tomllib.loads(RECIPES.read_text())["runs"]) > 40
