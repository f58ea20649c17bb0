"""What is trusted: no code but by name, no pickle, no socket when offline, no secret in what is written."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Run, evaluate, refused
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from mteb.models.model_implementations import MODEL_REGISTRY
from sentence_transformers import SentenceTransformer
from tiny_language import DOCUMENTS, tiny_encoder, tiny_tokenizer

from mixbench.results import find_results

ROOT = Path(__file__).parents[1]
SECRET = "sentinel-3b1f"
CODE = """import pathlib
pathlib.Path({marker!r}).touch()
from sentence_transformers.sentence_transformer.modules import Normalize
class Evil(Normalize):
    pass
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What the code of the model `evil` touches when it runs."""
    return tmp_path / "ran"


@pytest.fixture
def evil(tmp_path: Path, marker: Path) -> Path:
    """A model folder of which one module is code that lies in it."""
    folder = tmp_path / "evil"
    encoder = tiny_encoder(tiny_tokenizer(tmp_path), "twin")
    encoder.save_pretrained(str(folder), create_model_card=False)
    (folder / "evil.py").write_text(CODE.format(marker=str(marker)))
    entries = json.loads((folder / "modules.json").read_text())
    entries[-1]["type"] = "evil.Evil"
    (folder / "modules.json").write_text(json.dumps(entries))
    return folder


# Code


def test_the_code_of_a_folder_runs_only_where_it_is_named(run: Run, evil: Path, marker: Path) -> None:
    bm25_too = ("-t", "zoo", "-m", "bm25", "-m", "../evil")
    told = "model '../evil' brings code of its own, which runs only if you name it"
    refused(evaluate(run, *bm25_too), told, "--trust-remote-code ../evil")
    refused(evaluate(run, *bm25_too, "--trust-remote-code", "bm25"), told)
    other = evaluate(run, *bm25_too, "--trust-remote-code", "evil")
    refused(other, "--trust-remote-code 'evil': no such model is evaluated; name one of -m")
    assert not marker.exists()
    ended = evaluate(run, *bm25_too, "--trust-remote-code", "../evil")
    assert ended.status == 0, ended.err
    assert marker.exists()
    commands = {each.model: each.provenance.command for each in find_results(Path("out"))}
    assert commands["evil"].endswith(" -m ../evil -t zoo/tiny --trust-remote-code ../evil --data-dir DATA")
    assert "trust" not in commands["bm25"]


def test_a_changed_line_of_trusted_code_is_another_revision(run: Run, evil: Path) -> None:
    trusted = ("-t", "zoo", "-m", "../evil", "--trust-remote-code", "../evil")
    assert evaluate(run, *trusted).status == 0
    (evil / "evil.py").write_text((evil / "evil.py").read_text() + "# changed\n")
    assert evaluate(run, *trusted).status == 0
    assert len({each.revision for each in find_results(Path("out"))}) == 2


def test_a_model_whose_code_mteb_would_trust_runs_it_only_where_it_is_named(
    run: Run, evil: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> SentenceTransformerEncoderWrapper:
        return SentenceTransformerEncoderWrapper(
            SentenceTransformer(str(evil), device="cpu", trust_remote_code=True)
        )

    stated = {"name": "zoo/evil", "revision": "1", "loader": load, "languages": None, "framework": []}
    stated |= {"model_type": ["dense"], "training_datasets": set()}
    monkeypatch.setitem(MODEL_REGISTRY, "zoo/evil", ModelMeta.create_empty(overwrites=stated))
    refused(evaluate(run, "-m", "zoo/evil", "-t", "zoo"), "model 'zoo/evil' brings code of its own")
    assert not marker.exists()
    ended = evaluate(run, "-m", "zoo/evil", "-t", "zoo", "--trust-remote-code", "zoo/evil")
    assert ended.status == 0, ended.err
    assert marker.exists()


# Pickles


class Marking:
    """Pickles as a call that touches a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("place", ["pytorch_model.bin", "2_Dense/pytorch_model.bin"])
def test_pickled_weights_are_refused_and_never_read(
    run: Run, tmp_path: Path, marker: Path, place: str
) -> None:
    encoder = tiny_encoder(tiny_tokenizer(tmp_path), "twin")
    encoder.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    path = tmp_path / "model" / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(Marking(marker)))
    if path.parent.name == "model":
        (path.parent / "model.safetensors").unlink()
    told = f"../model/{place}: pickled weights are never read; save the model again with safetensors"
    refused(evaluate(run, "-m", "../model", "-t", "zoo"), told)
    assert not marker.exists()


def test_a_checkpoint_that_would_run_a_call_is_refused_without_it(
    run: Run, tmp_path: Path, marker: Path
) -> None:
    rows = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny_encoder(tiny_tokenizer(tmp_path)).save_pretrained(str(tmp_path / "start"), create_model_card=False)
    options = ("--max-steps", 4, "--batch-size", 8, "--eval-every", 1, "--dev-pairs", 0)
    train = ("train-retriever", "../start", "-o", "made", "--pairs", "../p.jsonl", *options)
    assert run(*train, "--max-minutes", 1e-9).status == 0
    shutil.copytree(".made.training", tmp_path / "whole")
    pickled = [path.name for path in Path(".made.training/checkpoint-1").glob("*.pt*")]
    assert {"optimizer.pt", "scheduler.pt"} <= set(pickled)
    for name in pickled:
        shutil.rmtree(".made.training")
        shutil.copytree(tmp_path / "whole", ".made.training")
        Path(".made.training/checkpoint-1", name).write_bytes(pickle.dumps(Marking(marker)))
        refused(run(*train, "--resume"), "checkpoint-1: cannot be resumed from (")
        assert not marker.exists()


# Sockets

COUNTING = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(event) if event.startswith("socket.") else None)
sys.argv = ["mixbench", *sys.argv[1:]]
from mixbench.cli import main
try:
    main()
finally:
    sys.stderr.write(f"sockets: {len(opened)} {sorted(set(opened))}\\n")
"""


def count_sockets(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    hidden = {"MIXBENCH_DATA", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"HOME": str(folder / "home"), "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"}
    return subprocess.run(
        [sys.executable, "-c", COUNTING, *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_evaluating_offline_opens_no_socket(run: Run, tmp_path: Path) -> None:
    places = ("--tasks-dir", "tasks", "--data-dir", "data", "--output", "out")
    done = count_sockets(
        tmp_path, "eval", *places, "-m", "bm25", "-m", "mixer-tiny", "-t", "zoo", "--offline"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "sockets: 0 []"


def test_evaluating_the_embedded_task_opens_no_socket_even_online(tmp_path: Path) -> None:
    done = count_sockets(tmp_path, "eval", "-m", "bm25", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "sockets: 0 []"


@pytest.mark.slow
def test_the_quickstart_opens_no_socket(tmp_path: Path) -> None:
    models = ("-m", "bm25", "-m", "bm25-code", "-m", "mixer-tiny")
    options = ("--batch-size", "64", "--max-steps", "2", "--dev-pairs", "20", "--eval-every", "1")
    for words in (
        ("eval", "--offline", *models, "--output", "out"),
        ("train-retriever", "mixer-tiny", "--task", "quickstart/stdlib-code", "--output", "tuned", *options),
        ("eval", "--offline", "-m", "tuned", "--output", "out"),
        ("leaderboard", "quickstart", "--output", "out", "--allow-dirty"),
    ):
        done = count_sockets(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "sockets: 0 []"


@pytest.mark.parametrize(
    "words", [["-t", "beir/scifact", "-m", "bm25"], ["-m", "zoo/ant", "-t", "quickstart"]]
)
def test_what_is_not_here_is_said_offline_without_a_socket(tmp_path: Path, words: list[str]) -> None:
    done = count_sockets(tmp_path, "eval", *words, "--offline", "--output", "out")
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "sockets: 0 []"


def test_a_socket_would_be_counted(tmp_path: Path) -> None:
    done = count_sockets(tmp_path, "data", "get", "beir/scifact", "--url", "http://127.0.0.1:9/x.zip")
    assert done.returncode == 1
    assert "socket.connect" in done.stderr.splitlines()[-1]


# Secrets


def test_no_variable_of_the_environment_reaches_what_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "WANDB_API_KEY", "USER", "HOSTNAME"):
        monkeypatch.setenv(name, SECRET)
    secret = tmp_path / SECRET
    secret.mkdir()
    (tmp_path / "data").rename(secret / "data")
    monkeypatch.setenv("MIXBENCH_DATA", str(secret / "data"))
    tiny_encoder(tiny_tokenizer(tmp_path)).save_pretrained(str(tmp_path / "start"), create_model_card=False)
    rows = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--max-steps", 2, "--batch-size", 8, "--dev-pairs", 0)
    trained = run("train-retriever", "../start", "-o", "made", "--pairs", "../p.jsonl", *options)
    assert trained.status == 0, trained.err
    tasks = ("--tasks-dir", "../tasks")
    ended = run("eval", *tasks, "--output", "out", "-m", "bm25", "-m", "made", "-t", "zoo")
    assert ended.status == 0, ended.err
    written = [path for path in Path().rglob("*") if path.is_file()]
    assert {"mixbench.json", "README.md", "tiny.json", "tiny.trec"} <= {path.name for path in written}
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in ended.out


def test_the_address_of_the_hub_is_told_without_its_password(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://user:{SECRET}@127.0.0.1:9")
    ended = run("eval", "-m", "bm25", "-t", "mteb:SciFact")
    assert ended.status == 1
    assert "no connection to http://127.0.0.1:9 (ConnectionError)" in ended.err
    assert SECRET not in ended.err
