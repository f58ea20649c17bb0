"""The list of runs: order, slots, what is kept, what a failure stops, and what is left of a run cut short."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.run_list import Pick, Run, fill, in_order, missing_of, with_needs
from mixbench.experiments.run_record import read_record
from mixbench.experiments.runs import run_missing

QRELS = ("data", "qrels", "{task}", "--offline")
VALUES = {"task": "quickstart/stdlib-code"}


def printing(name: str, task: str = "{task}", **fields) -> Run:
    """A run of a quarter of a second, which prints the judgments of a task."""
    command = ["data", "qrels", task, "--offline"]
    return Run(name=name, commands=[command], proof=[], printed=f"{name}.qrels", **fields)


def go(runs: list[Run], work: Path, **options):
    said: list[str] = []
    ran = run_missing(runs, work, values=VALUES, say=said.append, **options)
    return ran, [line.partition(", about")[0].partition(" in ")[0] for line in said]


def test_runs_go_on_in_the_order_of_their_needs_and_leave_their_proof(tmp_path: Path) -> None:
    ran, said = go([printing("b", needs=["a"]), printing("a")], tmp_path)
    assert said == ["a: started", "a: done", "b: started", "b: done"]
    assert (ran.done, ran.kept, ran.failed, ran.skipped) == (["a", "b"], [], {}, {})
    assert (tmp_path / "b.qrels").read_text().startswith("q-__future__:")
    record = read_record(tmp_path, "b")
    assert record is not None
    assert record["commands"] == [["data", "qrels", "{task}", "--offline"]]
    assert len(record["seconds"]) == 1
    assert record["provenance"]["command"] == "mixbench data qrels '{task}' --offline"


def test_a_second_call_runs_only_what_is_missing_and_what_needs_it(tmp_path: Path) -> None:
    runs = [printing("a"), printing("b", needs=["a"]), printing("c")]
    go(runs, tmp_path)
    ran, said = go(runs, tmp_path)
    assert (ran.kept, said) == (["a", "b", "c"], [])
    (tmp_path / "a.qrels").unlink()
    ran, _ = go(runs, tmp_path)
    assert (ran.done, ran.kept) == (["a", "b"], ["c"])


def test_a_run_whose_commands_have_changed_is_missing(tmp_path: Path) -> None:
    go([printing("a")], tmp_path)
    assert missing_of([printing("a")], tmp_path) == set()
    assert missing_of([printing("a", task="stdlib-code")], tmp_path) == {"a"}


def test_a_run_without_its_record_was_cut_off_and_is_missing(tmp_path: Path) -> None:
    go([printing("a")], tmp_path)
    (tmp_path / "runs" / "a.json").unlink()
    assert missing_of([printing("a")], tmp_path) == {"a"}


def test_a_failure_skips_what_needs_it_is_told_in_a_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    runs = [
        printing("bad", task="stdlib-cod"),
        printing("child", needs=["bad"]),
        printing("grandchild", needs=["child"]),
        printing("other"),
    ]
    said: list[str] = []
    ran = run_missing(runs, tmp_path, values=VALUES, say=said.append)
    assert ran.done == ["other"]
    assert ran.failed["bad"].startswith("status 1: mixbench: unknown task or benchmark 'stdlib-cod'; did")
    assert ran.skipped == {"child": "it needs bad", "grandchild": "it needs child"}
    (line,) = [line for line in said if "failed" in line]
    assert "\n" not in line
    assert str(tmp_path / "runs" / "bad.log") in line
    assert not (tmp_path / "bad.qrels").exists()


def test_the_first_command_that_fails_ends_a_run(tmp_path: Path) -> None:
    bad = Run(
        name="two",
        commands=[["data", "qrels", "none-such"], ["data", "export", "{task}", "{work}/out"]],
        proof=["out/corpus.jsonl"],
    )
    ran, _ = go([bad], tmp_path)
    assert list(ran.failed) == ["two"]
    assert not (tmp_path / "out").exists()


def test_the_commands_of_a_run_follow_each_other_and_the_folder_is_filled_in(tmp_path: Path) -> None:
    export = ["data", "export", "{task}", "{work}/out"]
    two = Run(name="two", commands=[list(QRELS), export], proof=["out/corpus.jsonl"])
    ran, _ = go([two], tmp_path)
    assert ran.done == ["two"]
    assert (tmp_path / "out" / "corpus.jsonl").is_file()
    record = read_record(tmp_path, "two")
    assert record is not None
    assert str(tmp_path) not in json.dumps(record)


def test_a_run_that_ends_well_without_its_proof_has_failed(tmp_path: Path) -> None:
    run = Run(name="a", commands=[list(QRELS)], proof=["nothing.json"])
    ran, _ = go([run], tmp_path)
    assert ran.failed == {"a": "it ended well, but made no nothing.json"}
    assert missing_of([run], tmp_path) == {"a"}


def test_two_slots_hold_two_runs_and_a_large_run_is_not_overtaken(tmp_path: Path) -> None:
    slow = Run(name="slow", commands=[list(QRELS)] * 4, proof=[])
    _, said = go([printing("a"), slow, printing("large", slots=2), printing("small")], tmp_path, slots=2)
    assert said[:4] == ["a: started", "slow: started", "a: done", "slow: done"]
    assert said[4:] == ["large: started", "large: done", "small: started", "small: done"]


def test_a_run_of_more_slots_than_there_are_takes_them_all(tmp_path: Path) -> None:
    ran, said = go([printing("huge", slots=8), printing("a")], tmp_path, slots=2)
    assert ran.done == ["huge", "a"]
    assert said == ["huge: started", "huge: done", "a: started", "a: done"]


def test_nothing_is_started_whose_estimate_does_not_fit(tmp_path: Path) -> None:
    runs = [printing("long", minutes=5), printing("after", needs=["long"]), printing("short", minutes=0.5)]
    ran, _ = go(runs, tmp_path, max_minutes=1)
    assert ran.done == ["short"]
    assert ran.skipped == {"long": "its 5 min no longer fit", "after": "it needs long"}


def test_a_placeholder_without_a_value_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'a': nothing is given for \{nonsense\}; give it, .*; known: work, task"
    ):
        go([printing("first"), printing("a", task="{nonsense}")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_word_of_a_command_can_be_picked_from_the_file_with_the_lowest_loss(tmp_path: Path) -> None:
    for name, losses, task in (("x", [5, 1], "none-such"), ("y", [1, 3], "stdlib-code")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"losses": losses, "config": {"task": task}}))
    choice = Pick(among=["x.json", "y.json"], lowest="losses", take="config.task")
    run = printing("a", task="quickstart/{best}", picks={"best": choice})
    ran, _ = go([run], tmp_path)
    assert ran.done == ["a"]
    record = read_record(tmp_path, "a")
    assert record is not None
    assert record["commands"] == [["data", "qrels", "quickstart/{best}", "--offline"]]
    ran, said = go([printing("b", task="{best}", picks={"best": replace(choice, lowest="loss")})], tmp_path)
    assert "nothing is at 'loss'" in ran.failed["b"]
    assert len(said) == 1


def test_placeholders_are_filled_within_words_and_braces_of_json_stay() -> None:
    run = Run(name="a", commands=[["x", "{work}/y-{seed}", "{}", '{"k": 1}']], proof=[])
    assert fill(run, {"work": "w", "seed": "3"}) == [["x", "w/y-3", "{}", '{"k": 1}']]


def test_needs_in_a_ring_unknown_ones_and_doubled_names_are_refused() -> None:
    with pytest.raises(InputError, match="in a ring: a needs b needs a"):
        in_order([printing("a", needs=["b"]), printing("b", needs=["a"])])
    with pytest.raises(UnknownName, match="run that 'a' needs: 'model-on'; did you mean 'model-one'"):
        in_order([printing("a", needs=["model-on"]), printing("model-one")])
    with pytest.raises(InputError, match="two runs are called 'a'"):
        in_order([printing("a"), printing("a")])


def test_what_is_wanted_comes_with_all_that_it_needs_and_nothing_else() -> None:
    runs = [printing("c", needs=["b"]), printing("x"), printing("b", needs=["a"]), printing("a")]
    assert [run.name for run in with_needs(["c"], runs)] == ["a", "b", "c"]


LONG = """
import sys
from pathlib import Path
from mixbench.experiments.run_list import Run
from mixbench.experiments.runs import run_missing
long = ["bench", "bm25", "--documents", "1000000", "--queries", "1000"]
run_missing([Run(name="long", commands=[long], proof=[])], Path(sys.argv[1]))
"""


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, the children before theirs."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [below for child in found for below in descendants(child)]


def command_of(pid: int) -> int | None:
    """Return the process below `pid` that leads a session of its own, as each command does."""
    return next((each for each in descendants(pid) if os.getsid(each) == each), None)


def test_an_interrupt_ends_the_child_and_the_run_stays_missing(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path)],
        start_new_session=True,
        # What is started in the background may have interrupts ignored, and leaves that to its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    if not Path(f"/proc/{parent.pid}/task/{parent.pid}/children").exists():
        parent.kill()
        pytest.skip("this system does not tell a process's children")
    deadline = time.monotonic() + 60
    while (child := command_of(parent.pid)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child is not None
    os.kill(parent.pid, signal.SIGINT)
    try:
        assert parent.wait(20) != 0
    finally:  # where they are still there, the test leaves none behind
        parent.kill()
        with pytest.raises(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    assert read_record(tmp_path, "long") is None


def test_a_command_runs_where_and_with_the_environment_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    go([printing("a")], Path("work"))
    assert Path("work/a.qrels").is_file()
    ran, _ = go([printing("b")], Path("work"), environment={"WORLD_SIZE": "2", "LOCAL_RANK": "0"})
    assert "2 processes were started" in ran.failed["b"]
    assert "WORLD_SIZE" not in os.environ


def test_the_hub_can_be_left_alone_after_its_library_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, is_offline_mode

    from mixbench.data.hub import stay_offline

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    stay_offline()
    assert is_offline_mode()


TOUCHING = """
import importlib
import torch
from mixbench.experiments.forked import LOADED

def touched(*_: object) -> None:
    raise SystemExit("a GPU was asked for")

for name in ("is_available", "device_count", "current_device", "init", "_lazy_init", "get_device_properties"):
    setattr(torch.cuda, name, touched)
for name in LOADED:
    importlib.import_module(name)
"""


def test_what_commands_are_forked_from_never_asks_for_a_gpu() -> None:
    """After that no process forked from it could use one."""
    ended = subprocess.run([sys.executable, "-c", TOUCHING], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
