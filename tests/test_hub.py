"""The hub: absent, it is said to be within 5 seconds; mteb's data comes out as plain structures."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from tiny_data import make_task

from mixbench.data import load_data, locate
from mixbench.data.download import get_data
from mixbench.data.hub import why_no_hub
from mixbench.errors import MissingData
from mixbench.tasks import Task

MIXER = "MixbenchTinyRetrieval"
POLYGLOT = "MixbenchPolyglotRetrieval"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(params=[b"", b"HTTP/1.1 200 O"], ids=["silent", "dripping"])
def slow_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that takes connections and never answers, or a byte at a time, so that no read times out."""

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            for byte in request.param:
                if closing.wait(0.6):
                    return
                connection.send(bytes([byte]))
            closing.wait()

    closing = Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = Thread(target=drip)
        thread.start()
        yield listener.getsockname()[1]
        closing.set()
        thread.join()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch


def test_a_hub_that_refuses_is_no_hub(online: pytest.MonkeyPatch, closed_port: int, tmp_path: Path) -> None:
    online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    start = time.monotonic()
    with pytest.raises(MissingData, match=rf"no connection to http://127\.0\.0\.1:{closed_port}"):
        load_data(make_task(mteb="SciFact"), data_dir=tmp_path)
    assert time.monotonic() - start < 5


def test_a_hub_that_never_answers_is_no_hub_within_five_seconds(
    online: pytest.MonkeyPatch, slow_port: int, tmp_path: Path
) -> None:
    online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{slow_port}")
    start = time.monotonic()
    for name in ("SciFact", "NFCorpus", "ArguAna"):  # one wait for all of them
        with pytest.raises(MissingData, match=r"did not answer in 3\.5 s"):
            locate(make_task(mteb=name), data_dir=tmp_path)
    assert time.monotonic() - start < 5


def test_offline_nothing_is_asked(online: pytest.MonkeyPatch, closed_port: int) -> None:
    online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    assert why_no_hub(["SciFact"], offline=True).startswith("offline")
    online.setenv("HF_HUB_OFFLINE", "1")
    assert why_no_hub(["SciFact"]) == "offline, and not in the Hugging Face cache"


def test_offline_the_hugging_face_cache_counts_for_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets" / "mteb___scifact").mkdir(parents=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert why_no_hub(["SciFact"]) == ""
    assert why_no_hub(["SciFact", "NFCorpus"]) == "offline, and not in the Hugging Face cache"


class NotFound(BaseHTTPRequestHandler):
    """A hub that answers, but has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_hub_without_the_data_set_is_missing_data_in_one_line(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        code = (
            "from mixbench.data.hub import read_hub, why_no_hub\n"
            "from mixbench.errors import MissingData\n"
            "assert why_no_hub(['SciFact']) == ''\n"
            "for split in ('test', 'train'):\n"
            "    try:\n"
            "        read_hub('SciFact', split, split=split)\n"
            "    except MissingData as error:\n"
            "        print(error)\n"
        )
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path),
        }
        environment |= {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        server.shutdown()
    test, train = done.stdout.splitlines()
    assert test.startswith("the hub gave no data for 'SciFact' of mteb, split 'test' (")
    assert train.startswith("the hub gave no data for 'SciFact' of mteb, split")


def judged(**scores: int) -> dict[str, dict[str, int]]:
    return {query_id: {"d1": score} for query_id, score in scores.items()}


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    """Two tasks in mteb's registry whose data is made in memory: one collection, and two languages."""
    import mteb
    from datasets import Dataset

    def collection(qrels: dict[str, dict[str, int]], **columns: list[str]) -> dict[str, Any]:
        documents = {"id": ["d1", "d2"], "title": ["Title", ""], "text": ["text", "bare"]}
        queries = {"id": ["q1", "q2"], "text": ["one", "two"], **columns}
        return {
            "corpus": Dataset.from_dict(documents),
            "queries": Dataset.from_dict(queries),
            "relevant_docs": qrels,
            "top_ranked": None,
        }

    class Tiny(type(mteb.get_task("SciFact"))):  # type: ignore[misc]
        metadata = mteb.get_task("SciFact").metadata.model_copy(update={"name": MIXER})

        def load_data(self, num_proc: int | None = None, **options: Any) -> None:
            instructed = collection(judged(q1=2, q2=0), instruction=["please", "now"])
            self.dataset = {"default": dict.fromkeys(self.eval_splits, instructed)}
            self.data_loaded = True

    class Polyglot(Tiny):
        metadata = mteb.get_task("SciFact").metadata.model_copy(
            update={"name": POLYGLOT, "eval_langs": {"en": ["eng-Latn"], "de": ["deu-Latn"]}}
        )

        def load_data(self, num_proc: int | None = None, **options: Any) -> None:
            self.dataset = {
                each: {"test": collection(judged(q1=1), text=[each, each])} for each in self.hf_subsets
            }
            self.data_loaded = True

    registry = import_module("mteb.get_tasks")._TASKS_REGISTRY
    registry.update({MIXER: Tiny, POLYGLOT: Polyglot})
    yield
    del registry[MIXER], registry[POLYGLOT]


@pytest.fixture
def hub(online: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that answers; the registered tasks ask it for nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("registered", "hub")
def test_data_of_mteb_is_read_as_mteb_reads_it(tmp_path: Path) -> None:
    task = make_task(mteb=MIXER, folder="absent")
    assert locate(task, data_dir=tmp_path).kind == "hub"
    [data] = load_data(task, data_dir=tmp_path)
    assert data.corpus == [("d1", "Title", "text"), ("d2", "", "bare")]
    assert data.queries == {
        "q1": "one please"
    }  # q2 has no relevant document; the instruction is part of the query
    assert data.qrels == {"q1": {"d1": 2}}
    assert (data.split, data.source) == ("test", "hub")


@pytest.mark.usefixtures("registered", "hub")
def test_what_is_fetched_through_mteb_is_kept_as_a_beir_folder(tmp_path: Path) -> None:
    task = make_task(mteb=MIXER)
    folder = get_data(task, destination=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]
    [data] = load_data(task, data_dir=tmp_path)
    assert folder == tmp_path / "tiny"
    assert data.source == "folder"
    assert data.sha256 == load_data(task.model_copy(update={"folder": "absent"}))[0].sha256


@pytest.mark.usefixtures("registered", "hub")
def test_a_split_that_the_hub_does_not_judge_is_never_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=f"{MIXER!r} of mteb, split 'any'"):
        load_data(make_task(mteb=MIXER), data_dir=tmp_path, split="train")


@pytest.mark.usefixtures("registered", "hub")
def test_each_language_of_a_multilingual_task_is_a_part(tmp_path: Path) -> None:
    from mixbench.interop.mteb.data import describe_task

    task = Task(name=f"mteb/{POLYGLOT}", **describe_task(POLYGLOT))
    assert task.parts == {"en": f"{POLYGLOT}:en", "de": f"{POLYGLOT}:de"}
    assert [(data.part, data.queries) for data in load_data(task)] == [
        ("en", {"q1": "en"}),
        ("de", {"q1": "de"}),
    ]


README = """\
---
configs:
- {config_name: corpus, data_files: [{split: corpus, path: corpus.jsonl}]}
- {config_name: queries, data_files: [{split: queries, path: queries.jsonl}]}
- {config_name: default, data_files: [{split: test, path: qrels.jsonl}]}
---
"""


def test_a_data_set_laid_out_as_on_the_hub_is_read_by_mteb_s_own_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import mteb

    from mixbench.interop.mteb.data import judged_splits, load_retrieval

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "t", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n')
    (tmp_path / "qrels.jsonl").write_text('{"query-id": "q1", "corpus-id": "d1", "score": 1}\n')
    place = {"path": str(tmp_path), "revision": "main"}

    class Local(type(mteb.get_task("SciFact"))):  # type: ignore[misc]
        metadata = mteb.get_task("SciFact").metadata.model_copy(
            update={"name": "MixbenchLocal", "dataset": place}
        )

    monkeypatch.setitem(import_module("mteb.get_tasks")._TASKS_REGISTRY, "MixbenchLocal", Local)
    expected = ([("d1", "t", "x")], {"q1": "one"}, {"q1": {"d1": 1}})
    assert load_retrieval("MixbenchLocal", "test") == expected
    assert judged_splits("MixbenchLocal") == ["test"]
    # mteb's loader alone would give the test queries here, for want of others
    with pytest.raises(MissingData, match=r"split 'train' \(no such split\)"):
        load_retrieval("MixbenchLocal", "train")
