"""Benches of whole programs: fresh processes in turn, what they print, and how their failures are told."""

import json
import sys
from pathlib import Path

import pytest
from command import TASK, Run, add_task, refused

from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.bench_eval import EvalSettings
from mixbench.experiments.bench_import import bench_import
from mixbench.experiments.fresh_process import FreshProcess


def test_each_round_is_a_process_of_its_own_and_its_output_is_kept() -> None:
    script = "import os; print(os.getpid(), os.environ['OMP_NUM_THREADS'])"
    program = FreshProcess("python", "", [sys.executable, "-c", script], threads=3)
    assert all(program.run_round() > 0 for _ in range(2))
    (first, threads), (second, _) = [printed.split() for printed in program.printed]
    assert first != second
    assert threads == "3"


def test_a_process_that_fails_is_told_in_one_line() -> None:
    script = "import sys; print('one\\ntwo', file=sys.stderr); sys.exit(4)"
    with pytest.raises(MixbenchError, match="exit status 4: two"):
        FreshProcess("python", "", [sys.executable, "-c", script]).run_round()


def test_help_is_timed_beside_a_bare_program_of_typer() -> None:
    told = json.loads(bench_import(rounds=2, warm_up=0).to_json())
    ours, typer = told["rows"]
    assert (ours["name"], typer["name"]) == ("mixbench", "typer")
    more = [a - b for a, b in zip(ours["seconds"]["rounds"], typer["seconds"]["rounds"], strict=True)]
    assert ours["against"]["typer"]["seconds_more"]["rounds"] == more
    with pytest.raises(InputError, match="rounds is 0; give at least 1"):
        bench_import(rounds=0)


def test_both_evaluations_score_alike_and_say_what_goes_beyond_their_work(run: Run, tmp_path: Path) -> None:
    add_task(tmp_path, "tiny", TASK + 'mteb = "NFCorpus"\n')
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--threads", 1)
    ended = run("bench", "eval", "-m", "tiny", "-t", "zoo/tiny", *places, "--rounds", 1, "-o", "eval.json")
    assert ended.status == 0, ended.err
    assert "seconds beyond mteb" in ended.out
    told = json.loads(Path("eval.json").read_text())
    ours, theirs = told["rows"]
    assert ours["main_score"] == pytest.approx(theirs["main_score"], abs=1e-5)
    (seconds,), (working,) = ours["seconds"]["rounds"], ours["working_seconds"]["rounds"]
    assert ours["beyond_work"]["rounds"] == [pytest.approx(seconds / working - 1)]
    assert told["notes"][0].startswith("ndcg_at_10: mixbench ")


def test_a_task_that_mteb_has_not_is_refused(run: Run) -> None:
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    refused(run("bench", "eval", "-t", "zoo/tiny", *places), "'zoo/tiny' is no single task of mteb")
    with pytest.raises(InputError, match="threads is 0; give at least 1"):
        EvalSettings(task="zoo/tiny", threads=0)
