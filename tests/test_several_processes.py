"""Training shared among processes that talk by gloo over loopback: the weights and the voice of one."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from command import Run, refused
from safetensors.torch import load_file
from shared_training import RUNS, train, train_all
from test_cli_training import write_pairs
from test_training import largest_difference, words

ONE_THREAD = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
TORCHRUN = """import socket
socket.getfqdn = lambda *_: "localhost"  # it would ask the resolver for this machine's name
from torch.distributed.run import main
main()"""


class Shared(NamedTuple):
    """What one process made alone, what two made together, and what each of the two said at its end."""

    alone: Path
    together: Path
    statuses: list[int]
    said: list[str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    alone, together = folder / "alone", folder / "together"
    together.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, str(Path(__file__).with_name("shared_training.py")), str(together)]
    started = []
    for number in range(2):
        places = {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with (folder / f"said-{number}").open("w") as stream:
            environment = os.environ | ONE_THREAD | places | address
            started.append(subprocess.Popen(command, env=environment, stdout=stream, stderr=stream))
    alone.mkdir()
    train_all(alone)
    try:
        statuses = [process.wait(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    return Shared(alone, together, statuses, [(folder / f"said-{number}").read_text() for number in range(2)])


def record(folder: Path) -> dict:
    return json.loads((folder / "mixbench.json").read_text())


def logged(folder: Path) -> list[dict]:
    """Return what the trainer logged up to the last checkpoint of a run that was stopped."""
    (state,) = (folder / ".stopped.training").glob("checkpoint-*/trainer_state.json")
    return json.loads(state.read_text())["log_history"]


@pytest.mark.parametrize("name", [*RUNS, "idle"])
def test_two_processes_make_the_weights_of_one(shared: Shared, name: str) -> None:
    one, two = (load_file(folder / name / "model.safetensors") for folder in (shared.alone, shared.together))
    assert largest_difference(one, two) < 1e-5
    assert (one["vectors.weight"] - words()[0].vectors.weight).abs().max() > 0.02
    expected, found = record(shared.alone / name), record(shared.together / name)
    for key in ("steps", "best_step", "examples", "sources", "config"):
        assert found[key] == expected[key]
    for key in ("loss", "dev_ndcg_at_10"):
        assert [step for step, _ in found[key]] == [step for step, _ in expected[key]]
        assert [value for _, value in found[key]] == pytest.approx([v for _, v in expected[key]], abs=2e-5)
    assert found["device"] == f"2 x {expected['device']}"


def test_the_gradient_is_that_of_one_process_and_not_a_multiple_of_it(shared: Shared) -> None:
    one, two = logged(shared.alone), logged(shared.together)
    assert [entry["step"] for entry in one] == [entry["step"] for entry in two] == [1]
    assert two[0]["grad_norm"] == pytest.approx(one[0]["grad_norm"], rel=1e-5)
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-5)


def test_the_clock_of_the_first_decides_and_a_resumed_run_equals_a_straight_one(shared: Shared) -> None:
    folders = (shared.together / name for name in ("straight", "steps"))
    straight, steps = (load_file(folder / "model.safetensors") for folder in folders)
    assert largest_difference(straight, steps) == 0.0
    kept = record(shared.together / "steps")
    assert (kept["steps"], kept["resumed_from"], kept["stopped_early"]) == (6, 3, False)


def test_a_run_of_two_processes_is_gone_on_with_by_one(shared: Shared, tmp_path: Path) -> None:
    for name in ("stopped", ".stopped.training"):
        shutil.copytree(shared.together / name, tmp_path / name)
    train(tmp_path / "stopped", resume=True)
    straight, resumed = (
        load_file(folder / "model.safetensors") for folder in (shared.alone / "plain", tmp_path / "stopped")
    )
    assert largest_difference(straight, resumed) < 1e-5
    assert record(tmp_path / "stopped")["resumed_from"] == 1


def test_processes_drop_out_different_numbers(shared: Shared) -> None:
    checkpoint = shared.together / ".stopped.training" / "checkpoint-1"
    files = [checkpoint / f"rng_state_{number}.pth" for number in range(2)]
    states = [torch.load(file, weights_only=False) for file in files]
    assert not torch.equal(states[0]["cpu"], states[1]["cpu"])


def test_where_one_fails_all_fail_and_one_says_why(shared: Shared) -> None:
    first, second = (
        json.loads((shared.together / f"failures-{number}.json").read_text()) for number in range(2)
    )
    assert [message for message, _ in first] == [message for message, _ in second]
    taken, absent, device = (message for message, _ in first)
    assert "taken: exists already" in taken
    assert "no checkpoint to resume from" in absent
    assert device == "device 'cuda:1': each of 2 processes has its own; give cpu or cuda"
    assert [repeated for _, repeated in first] == [False, True, False]
    assert [repeated for _, repeated in second] == [True, False, True]


def test_a_run_that_fails_at_work_ends_every_process_with_one_line(shared: Shared) -> None:
    assert shared.statuses == [1, 1]
    (line,) = shared.said[0].splitlines()
    assert line.startswith("mixbench: training diverged at step ")
    assert shared.said[1] == ""


def test_torchrun_shares_batches_of_fewer_pairs_than_processes(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "things.jsonl")
    options = ["--batch-size", "2", "--max-steps", "3", "--max-length", "12", "--dev-pairs", "0"]
    command = ["train-retriever", "tiny", "--set", "depth=1", "--pairs", "../things.jsonl", *options]
    launcher = [sys.executable, "-c", TORCHRUN, "--standalone", "--nproc-per-node", "3", "-m", "mixbench"]
    shared = subprocess.run(
        [*launcher, *command, "-o", "shared"],
        env=os.environ | ONE_THREAD, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (shared.returncode, shared.stdout) == (0, "shared\n"), shared.stderr
    assert shared.stderr == ""
    assert run(*command, "-o", "alone").status == 0
    one, three = (load_file(f"{name}/model.safetensors") for name in ("alone", "shared"))
    assert largest_difference(one, three) < 1e-4  # Adam enlarges the rounding of gradients near 0
    assert record(Path("shared"))["examples"] == record(Path("alone"))["examples"] == 6


@pytest.mark.parametrize("rank", [0, 1])
def test_verbs_that_share_no_work_refuse_several_processes(
    run: Run, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    for name, value in {"WORLD_SIZE": 2, "LOCAL_RANK": rank, "RANK": rank}.items():
        monkeypatch.setenv(name, str(value))
    ended = run("list", "tasks")
    if rank == 0:
        refused(ended, "2 processes were started, of which only train-retriever makes use")
    else:
        assert ended == (1, "", "")
