"""Faults: what was killed or interrupted goes on when it is run again, and ends as if nothing had been."""

import ctypes
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest
from command import TASK, Run, add_task, evaluate
from test_bad_input import files_of_at_most
from test_dense import word_model
from test_runs import command_of
from tiny_data import json_lines
from tiny_language import DOCUMENTS, tiny_encoder, tiny_tokenizer, write_text

from mixbench.experiments.forked import start_command
from mixbench.experiments.run_list import Run as Listed
from mixbench.experiments.runs import run_missing
from mixbench.files import write_atomic
from mixbench.results import find_results, query_scores_path, result_paths
from mixbench.retrievers.encoding import SHARD_TEXTS
from mixbench.retrievers.store import EmbeddingStore
from mixbench.training.workspace import Workspace

SHARDS = 4
EVAL = "eval -m start -t zoo/many --tasks-dir tasks --data-dir data --output out --store store --offline"
TRAIN = (
    "train-retriever start -o made --pairs p.jsonl --max-steps 8 --batch-size 8 --eval-every 1 --dev-pairs 0"
)
PRETRAIN = "pretrain start -o made --text things.txt --max-steps 8 --batch-size 2 --eval-every 1"
BOARD = "leaderboard zoo --output results --tasks-dir tasks --allow-dirty --html page.html --csv board.csv"
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
LONG = 600
"""Seconds that no command here takes, even where others keep the machine busy."""


def files_of_eval() -> list[Path]:
    return [*Path("out").rglob("*.trec"), *map(query_scores_path, result_paths(Path("out")))]


def files_of_model() -> list[Path]:
    return [path for path in Path("made").rglob("*") if path.is_file() and path.suffix in {".safetensors"}]


def files_of_board() -> list[Path]:
    return [Path("results/zoo/README.md"), Path("page.html"), Path("board.csv")]


class Stage(NamedTuple):
    """A command, and the files that it ends with whatever happens to it."""

    command: str
    files: Callable[[], list[Path]]

    def made(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.files()}


STAGES = {
    "eval": Stage(EVAL, files_of_eval),
    "train-retriever": Stage(TRAIN, files_of_model),
    "pretrain": Stage(PRETRAIN, files_of_model),
    "leaderboard": Stage(BOARD, files_of_board),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained mixer, a task of four shards, pairs, a text, and results for a board."""
    folder = tmp_path_factory.mktemp("begun")
    tiny_encoder(tiny_tokenizer(folder)).save_pretrained(str(folder / "start"), create_model_card=False)
    write_text(folder / "things.txt")
    pairs = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (folder / "p.jsonl").write_text(json_lines(pairs))
    add_task(folder, "many", TASK.replace('"tiny"', '"many"'))
    (folder / "data" / "many" / "qrels").mkdir(parents=True)
    texts = [f"{DOCUMENTS[i % 30]} {' '.join(DOCUMENTS[: i % 7])} {i}" for i in range(SHARDS * SHARD_TEXTS)]
    corpus = [{"_id": f"d{i:05}", "title": "", "text": text} for i, text in enumerate(texts)]
    (folder / "data" / "many" / "corpus.jsonl").write_text(json_lines(corpus))
    queries = [{"_id": f"q{i}", "text": DOCUMENTS[i]} for i in range(30)]
    (folder / "data" / "many" / "queries.jsonl").write_text(json_lines(queries))
    judged = "".join(f"q{i}\td{i:05}\t1\n" for i in range(30))
    (folder / "data" / "many" / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    before = Path.cwd()
    os.chdir(folder)
    try:
        finished(
            "eval -m bm25 -m start -t zoo/many --tasks-dir tasks --data-dir data --output results --no-store"
        )
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def fresh(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what goes to a new copy of that folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MIXBENCH_DATA", raising=False)
    places = (tmp_path / f"copy-{number}" for number in range(1_000))

    def go() -> None:
        place = next(places)
        shutil.copytree(begun, place)
        monkeypatch.chdir(place)

    go()
    return go


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    for process in STARTED:
        process.kill()


STARTED: list[BaseProcess] = []


def start(command: str) -> BaseProcess:
    process = start_command(command.split(), {}, log=Path("log"), output=Path("printed"))
    STARTED.append(process)
    return process


def finished(command: str) -> int:
    """Run a command to its end; return its exit status."""
    process = start(command)
    process.join(LONG)
    assert process.exitcode is not None, "it takes too long"
    return process.exitcode


def said() -> str:
    return Path("log").read_text()


def run_again(command: str) -> None:
    """Run a command until it has done its work, as its messages say."""
    if finished(command) == 0:
        return
    last = said().splitlines()[-1]
    if "go on with --resume" in last:
        assert finished(f"{command} --resume") == 0, said()
    else:
        assert ": exists already; " in last, said()  # it was killed when all was done


def kill(command: str, after: float) -> bool:
    """Kill a command -9 after so many seconds; return whether it still ran."""
    process = start(command)
    time.sleep(after)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def interrupt(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)


def stored() -> int:
    """Return how many shards there are."""
    return len(EmbeddingStore(Path("store")).shards())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never comes"
        time.sleep(0.002)


def disturb(name: str, fresh: Callable[[], None], kills: int, seed: int) -> None:
    """Run a stage undisturbed, then kill it at random so many times, and compare what they end with."""
    stage, generator = STAGES[name], random.Random(f"{name} {seed}")
    began = time.monotonic()
    assert finished(stage.command) == 0, said()
    seconds, wanted = time.monotonic() - began, stage.made()
    assert wanted
    killed = 0
    while killed < kills:
        fresh()
        for _ in range(generator.choice([1, 1, 2])):
            done = kill(stage.command, generator.uniform(0.1 * seconds, seconds))
            killed += done
            held = stored()
        run_again(stage.command)
        assert stage.made() == wanted
        if name == "eval" and done:
            (result,) = find_results(Path("out"))
            at_end = result.costs.documents_from_store
            assert "kept start" in said() or at_end == held * SHARD_TEXTS


# Killed


@pytest.mark.parametrize("name", STAGES)
def test_what_is_killed_at_a_random_moment_ends_the_same(name: str, fresh: Callable[[], None]) -> None:
    disturb(name, fresh, kills=1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills"), [("eval", 10), ("train-retriever", 8), ("pretrain", 8), ("leaderboard", 4)]
)
def test_what_is_killed_at_many_random_moments_ends_the_same(
    name: str, kills: int, fresh: Callable[[], None]
) -> None:
    disturb(name, fresh, kills=kills, seed=1)


def test_an_evaluation_killed_within_a_corpus_encodes_what_is_not_kept(
    fresh: Callable[[], None],
) -> None:
    assert finished(EVAL) == 0, said()
    wanted = STAGES["eval"].made()
    fresh()
    process = start(EVAL)
    until(lambda: stored() == 2)
    process.kill()
    process.join()
    held = stored()
    assert held < SHARDS
    assert finished(EVAL) == 0, said()
    assert STAGES["eval"].made() == wanted
    (result,) = find_results(Path("out"))
    assert result.costs.documents_from_store == held * SHARD_TEXTS
    assert result.costs.documents_per_second is None


def test_a_worker_that_dies_is_named_and_its_work_goes_on_later(fresh: Callable[[], None]) -> None:
    runs = [Listed(name="long", commands=[EVAL.split()], proof=[])]

    def kill_the_worker() -> None:
        until(lambda: stored() > 0)
        worker = command_of(os.getpid())
        assert worker is not None
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker)
    killer.start()
    ran = run_missing(runs, Path.cwd())
    killer.join()
    assert ran.failed == {"long": "status -9: zoo/many: folder data/many"}
    assert run_missing(runs, Path.cwd()).done == ["long"]
    (result,) = find_results(Path("out"))
    assert result.costs.documents_from_store >= SHARD_TEXTS


def test_a_checkpoint_that_was_cut_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "made")
    for step, state in ((9, "{}"), (10, "{}"), (11, '{"epoch": ')):
        write_atomic(workspace.folder / f"checkpoint-{step}" / "trainer_state.json", state)
    (workspace.folder / "checkpoint-12").mkdir()
    assert workspace.last_checkpoint() == workspace.folder / "checkpoint-10"
    for step in (9, 10):
        shutil.rmtree(workspace.folder / f"checkpoint-{step}")
    assert workspace.last_checkpoint() == workspace.folder / "checkpoint-11"  # and resuming names it


def test_a_model_whose_weights_were_still_to_be_shrunk_is_not_put_in_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "made")
    workspace.open({}, resume=False)

    def cut_short(folder: Path) -> None:
        assert (folder / "notes.md").read_text() == "made"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace.publish_files(word_model(), {"notes.md": "made"}, finished=True, rework=cut_short)
    assert [path.name for path in tmp_path.iterdir()] == [".made.training"]


# Interrupted


def test_an_interrupt_lets_the_shard_be_finished(fresh: Callable[[], None]) -> None:
    process = start(EVAL)
    until(lambda: stored() == 1)
    time.sleep(0.02)  # within the second shard
    interrupt(process)
    process.join(LONG)
    assert process.exitcode == 130
    assert said().splitlines()[-1] == "interrupted: ends with this shard; press again to end at once"
    held = stored()
    assert 2 <= held < SHARDS
    assert not list(Path("store").glob("*/.*"))
    assert not list(Path("out").rglob("*.json"))
    assert finished(EVAL) == 0
    (result,) = find_results(Path("out"))
    assert result.costs.documents_from_store == held * SHARD_TEXTS


def test_a_second_interrupt_ends_at_once(fresh: Callable[[], None]) -> None:
    ends = []
    while 1 not in ends and len(ends) < 5:  # a shard may end by itself before the second interrupt arrives
        fresh()
        process = start(EVAL)
        until(lambda: stored() == 1)
        time.sleep(0.02)  # within the second shard
        interrupt(process)
        until(lambda: "press again" in said())
        interrupt(process)
        process.join(LONG)
        assert process.exitcode == 130
        ends.append(stored())
    assert ends[-1] == 1, ends


# Two at once


def test_two_evaluations_of_a_task_at_once_are_both_right(fresh: Callable[[], None]) -> None:
    assert finished(EVAL) == 0, said()
    wanted = STAGES["eval"].made()
    fresh()
    both = [start(EVAL), start(EVAL)]
    for process in both:
        process.join(LONG)
    assert [process.exitcode for process in both] == [0, 0], said()
    assert STAGES["eval"].made() == wanted
    assert len(find_results(Path("out"))) == 1
    assert finished("store verify --store store") == 0
    assert Path("printed").read_text().endswith(f"store: all {SHARDS} shards are whole\n")


def test_another_process_may_drop_what_this_one_is_about_to_read(fresh: Callable[[], None]) -> None:
    assert finished(EVAL) == 0, said()
    wanted = STAGES["eval"].made()
    process = start(f"{EVAL} --overwrite")
    while process.exitcode is None:
        EmbeddingStore(Path("store")).prune(0)
    assert process.exitcode == 0, said()
    assert STAGES["eval"].made() == wanted


# Nowhere to write


def without_privileges() -> None:
    """Let what is started next heed permissions, though it be root."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError("cannot drop a capability")


def beside_a_shut_folder(
    command: str, mode: int = stat.S_IRUSR | stat.S_IXUSR
) -> subprocess.CompletedProcess[str]:
    """Run a command where the folder `shut` has that mode."""
    Path("shut").mkdir()
    Path("shut").chmod(mode)
    return subprocess.run(
        [sys.executable, "-m", "mixbench", *command.split()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True, text=True, check=False, preexec_fn=without_privileges,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("eval -m bm25 -t zoo/many --tasks-dir tasks --data-dir data --output shut/out", "shut/out"),
        (TRAIN.replace("-o made", "-o shut/made"), "shut"),
        (PRETRAIN.replace("-o made", "-o shut/made"), "shut"),
        (BOARD.replace("page.html", "shut/page.html"), "shut/page.html"),
        (BOARD.replace("page.html", "p.jsonl/page.html"), "p.jsonl/page.html"),
    ],
    ids=["eval", "train-retriever", "pretrain", "leaderboard", "a file for a folder"],
)
def test_an_output_that_may_not_be_written_is_named(
    fresh: Callable[[], None], command: str, what: str
) -> None:
    ended = beside_a_shut_folder(command)
    reason = "permission denied" if what.startswith("shut") else "a file stands where a folder should"
    assert ended.stderr.splitlines()[-1] == (
        f"mixbench: {what}: cannot be written: {reason}; choose another place"
    )
    assert (ended.returncode, ended.stdout) == (1, "")


def test_a_store_that_may_not_even_be_looked_at_costs_no_evaluation(fresh: Callable[[], None]) -> None:
    command = EVAL.replace("--store store", "--store shut/store").replace("-m start", "-m bm25")
    assert beside_a_shut_folder(command, mode=0).returncode == 0
    assert len(find_results(Path("out"))) == 1


def test_a_full_disk_is_named_and_the_evaluation_goes_on_later(run: Run) -> None:
    with files_of_at_most(1_000):
        ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("mixbench: out/zoo/bm25/")
    assert "cannot be written: no space left" in last
    assert last.endswith("free some space and run the command again")
    assert find_results(Path("out")) == []
    assert list(Path("out").rglob(".*")) == []
    assert evaluate(run, "-m", "bm25", "-t", "zoo").status == 0


# No network


NO_SOCKET = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
sys.argv = ["mixbench", *sys.argv[1:]]
from mixbench.cli import main
main()
"""


def test_an_evaluation_opens_no_socket(fresh: Callable[[], None]) -> None:
    command = f"eval -m bm25 -m start --tasks-dir {Path(__file__).parents[1]}/tasks --store store"
    ended = subprocess.run(
        [sys.executable, "-c", NO_SOCKET, *command.split()], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len(find_results(Path("leaderboards"))) == 2
