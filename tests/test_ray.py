"""Encoding by workers of Ray: on a cluster of two nodes, and of the same bits as in one process.

Both nodes are processes of this machine, on loopback; the guard of the other tests is theirs too.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Ended, Run, add_task, evaluate, refused
from test_dense import dense, word_model
from tiny_data import json_lines
from tiny_language import tiny_encoder, tiny_tokenizer

from mixbench.data import Document
from mixbench.errors import MixbenchError
from mixbench.experiments import ray_cluster
from mixbench.experiments.ray_worker import Source, Worker, check_alike, pack, unpack
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.retrievers.store import EmbeddingStore

MANY = """description = "Many documents."
folder = "many"
eval_split = "test"
licence = "CC0-1.0"
redistribute = true
"""
DOCUMENTS = 6_000
COLOURS, THINGS = ("red", "green", "blue", "black", "white"), ("cat", "dog", "house", "boat", "tree", "wing")
needs_ray = pytest.mark.skipif(
    ray_cluster.find_spec("ray") is None, reason="Ray is not installed; pip install 'mixbench[ray]'"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of a node where this process is, and another one, each for one worker."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback
            "RAY_AUTH_MODE": "disabled",  # or Ray writes a token into the home folder
        }.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        ray_cluster.without_dashboard()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def model(run: Run, tmp_path: Path) -> str:
    """A model folder beside the task zoo/many and its data."""
    tiny_encoder(tiny_tokenizer(tmp_path)).save_pretrained(str(tmp_path / "words"), create_model_card=False)
    add_task(tmp_path, "many", MANY)
    folder = tmp_path / "data" / "many"
    (folder / "qrels").mkdir(parents=True)
    texts = [f"{COLOURS[n % 5]} {THINGS[n % 6]} {n} of {THINGS[n % 7 % 6]}" for n in range(DOCUMENTS)]
    corpus = [{"_id": f"d{number}", "title": "", "text": text} for number, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text(json_lines(corpus))
    queries = [{"_id": f"q{number}", "text": texts[number * 7][:9]} for number in range(60)]
    (folder / "queries.jsonl").write_text(json_lines(queries))
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{number}\td{number * 7}\t1" for number in range(60))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n")
    return "../words"


def files_of(output: str) -> dict[str, bytes]:
    """Return what an evaluation wrote: rankings, query scores and clusters by their bytes, results apart."""
    paths = [path for path in Path(output).rglob("*") if path.is_file()]
    found = {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}
    for name in [name for name in found if name.endswith("many.json")]:
        found[name] = json.dumps(without_costs(json.loads(found[name]))).encode()
    return found


def without_costs(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("costs", "provenance")}


def result_in(output: str) -> dict[str, Any]:
    (path,) = Path(output).rglob("many.json")
    return dict(json.loads(path.read_text()))


def alone(*arguments: object) -> Ended:
    """Run `mixbench` in a process of its own, that nothing here has prepared for Ray."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "mixbench", *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def plain_and_spread(
    run: Run, model: str, address: str, spread: Run | None = None
) -> tuple[dict[str, Any], str]:
    """Evaluate in this process, then by workers, check that all is equal, and return the second's result."""
    ends = []
    for output, call, ray in (("plain", run, ()), ("spread", spread or run, ("--ray", address))):
        places = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--output", output)
        ended = call("eval", *places, "-t", "zoo/many", "-m", model, "--store", f"{output}-store", *ray)
        assert ended.status == 0, ended.err
        ends.append(ended.err)
    plain = files_of("plain")
    assert len(plain) == 3
    assert files_of("spread") == plain
    one, other = (EmbeddingStore(Path(f"{each}-store")) for each in ("plain", "spread"))
    for shard in one.shards():
        sha256, key = shard.path.parent.name, shard.path.stem
        kept, brought = one.read(sha256, key), other.read(sha256, key)
        assert kept is not None
        assert brought is not None
        assert torch.equal(kept, brought)
    return result_in("spread"), ends[1]


@contextmanager
def at_the_first_shard(act: Callable[[], object]) -> Iterator[list[int]]:
    """Do something when workers have brought a shard; the list then has how many there were after it."""
    left: list[int] = []

    def wait() -> None:
        store, until = EmbeddingStore(Path("spread-store")), time.monotonic() + 60
        while not store.shards() and time.monotonic() < until:
            time.sleep(0.01)
        act()
        left.append(len(store.shards()))

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield left
    waiting.join()


# On a cluster


@needs_ray
def test_two_nodes_give_what_one_process_gives_and_no_speed(run: Run, model: str, cluster: Any) -> None:
    result, said = plain_and_spread(run, model, cluster.address)
    assert "2 workers encode, each with 1 processor cores" in said
    assert result["provenance"]["workers"] == 2
    assert result_in("plain")["provenance"]["workers"] == 0
    assert result["provenance"]["command"] == "mixbench eval -m ../words -t zoo/many --data-dir DATA"
    assert result["costs"]["documents_from_store"] == DOCUMENTS
    assert [result["costs"][key] for key in ("index_seconds", "documents_per_second")] == [None, None]


@needs_ray
def test_with_a_node_killed_halfway_all_is_still_equal(run: Run, model: str, cluster: Any) -> None:
    (node,) = cluster.worker_nodes
    try:
        with at_the_first_shard(lambda: cluster.remove_node(node, allow_graceful=False)) as left:
            result, said = plain_and_spread(run, model, cluster.address)
    finally:
        cluster.add_node(num_cpus=1)
    assert "2 workers encode" in said
    assert result["costs"]["documents_from_store"] == DOCUMENTS
    assert "a worker was lost (" in said
    assert "others encode its shards" in said
    assert left[0] < len(list(Path("spread-store").rglob("*.safetensors")))


@needs_ray
def test_what_a_worker_cannot_do_is_told_in_one_line(
    run: Run, model: str, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**open_system(model, EncoderOptions()).settings, "code": "torch=0"}  # type: ignore[attr-defined]
    monkeypatch.setattr("mixbench.retrievers.dense.DenseRetriever.settings", settings)
    ended = evaluate(run, "-m", model, "-t", "zoo/tiny", "--ray", cluster.address)
    refused(
        ended, "a worker says: model '/", "would be encoded otherwise here: code is 'sentence-tr", "releases"
    )


# On this machine


@needs_ray
def test_this_machine_gives_what_one_process_gives_and_listens_on_loopback_alone(
    run: Run, model: str
) -> None:
    listening: list[str] = []
    with at_the_first_shard(lambda: listening.extend(listened_on())):
        result, said = plain_and_spread(run, f"rrf:bm25,{model}", "local", alone)
    assert " workers encode, each with " in said
    assert result["provenance"]["workers"] >= 1
    assert len(listening) > 2
    assert set(listening) <= LOOPBACK


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def listened_on() -> list[str]:
    """Return the addresses, as the kernel writes them, on which processes of Ray listen."""
    own = own_sockets()
    tables = [Path(f"/proc/self/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return [line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in own]


def own_sockets() -> set[str]:
    """Return the inodes of sockets that processes of Ray hold."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray" in (folder / "cmdline").read_bytes():
                found |= {str(each.readlink()) for each in (folder / "fd").iterdir()}
        except OSError:
            continue
    return {name.removeprefix("socket:[").removesuffix("]") for name in found if name.startswith("socket:")}


# Before any work


def test_without_ray_the_error_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--ray", "local")
    refused(ended, "--ray needs a package: pip install 'mixbench[ray]'")


def test_a_cluster_that_is_not_there_is_told_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--ray", f"127.0.0.1:{port}")
    refused(ended, f"no Ray cluster at '127.0.0.1:{port}' (", "refused); start it by `ray start`")


def test_ray_needs_a_store(run: Run) -> None:
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--ray", "local", "--no-store")
    assert ended.status == 2
    assert "--ray brings embeddings into the store; leave out --no-store" in ended.err


def test_a_store_too_small_for_what_workers_bring_is_refused(
    run: Run, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: True)
    ended = evaluate(run, "-m", model, "-t", "zoo/many", "--ray", "local", "--store-limit", "0.0007")
    refused(ended, "store limit 0.0007 GiB: with 6,000 embeddings of words it would hold 0.000715; raise")


def test_what_the_store_has_is_read_even_in_place_of_a_measured_speed(
    run: Run, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: True)
    evaluate(run, "-m", model, "-t", "zoo/many")
    ended = evaluate(run, "-m", model, "-t", "zoo/many", "--ray", "local", "--overwrite")
    assert "workers encode" not in ended.err  # Ray was not even started
    assert result_in("out")["costs"]["documents_from_store"] == DOCUMENTS
    assert result_in("out")["provenance"]["workers"] == 0


# A worker, which is an object like any other


def source_of(name: str) -> Source:
    return Source(name=name, options=EncoderOptions(), settings=open_system(name, EncoderOptions()).settings)  # type: ignore[attr-defined]


def test_a_worker_gives_the_bits_of_the_process_that_asks(run: Run, model: str) -> None:
    texts = [f"red wing {number}" for number in range(40)]
    encoder = open_system(model, EncoderOptions())
    wanted = encoder.encode_documents([Document("", "", text) for text in texts])  # type: ignore[attr-defined]
    packed = pack(Path(model))
    source = source_of(model)
    Path(model).resolve().rename(Path("away").resolve())  # a worker elsewhere has no such folder
    worker = Worker()
    worker.open(source, packed)
    embeddings, halved = worker.encode(texts)
    assert torch.equal(embeddings, wanted)
    assert halved is None
    with pytest.raises(MixbenchError, match="unknown model"):
        worker.open(source, None)


def test_a_model_folder_arrives_whole(tmp_path: Path) -> None:
    (tmp_path / "m" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "deep" / "a.bin").write_bytes(b"\x00a")
    (tmp_path / "m" / "b").write_bytes(b"")
    folder = unpack(pack(tmp_path / "m"), tmp_path)
    assert folder.name == "m"
    assert pack(folder) == pack(tmp_path / "m")


@pytest.mark.parametrize("name", ["model_sha256", "code", "batch_size", "device", "dtype"])
def test_a_worker_with_anything_else_is_refused(name: str) -> None:
    settings = dense(word_model()).settings
    source = Source(name="tiny", options=EncoderOptions(), settings=settings)
    check_alike(source, settings)
    with pytest.raises(
        MixbenchError, match=f"model 'tiny' would be encoded otherwise here: {name} is 'other'"
    ):
        check_alike(source, {**settings, name: "other"})
