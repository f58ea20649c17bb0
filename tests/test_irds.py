"""ir_datasets as a source: a dataset registered locally, in its own registry, is a task like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command import Run
from tiny_data import make_folder, make_task

from mixbench.data.beir import read_beir_folder
from mixbench.data.download import get_data
from mixbench.data.load import load_data, locate
from mixbench.errors import InputError, MissingData, UnknownName
from mixbench.experiments.evaluating import chosen_tasks
from mixbench.results import find_results

irds = pytest.importorskip("ir_datasets", reason="the extra ir-datasets is not installed")


class Doc(NamedTuple):
    doc_id: str
    title: str
    text: str


class Bare(NamedTuple):
    """A record without a field called text."""

    doc_id: str
    query_id: str
    body: str

    def default_text(self) -> str:
        return self.body


class Query(NamedTuple):
    query_id: str
    text: str


class Qrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int
    iteration: str = "0"


def given(base: Any, kind: str, record: type, records: list[Any]) -> Any:
    """Return a part of a dataset that holds `records`."""

    def iterate(self: Any) -> Iterator[Any]:
        return iter(records)

    names = {"docs": "docs_cls", "queries": "queries_cls", "qrels": "qrels_cls"}
    return type("Given", (base,), {f"{kind}_iter": iterate, names[kind]: lambda self: record})()


DOCS = [
    Doc("d1", "Mixers", "A mixer mixes."),
    Doc("d2", "", "Kein Titel: ß, 混, 😀"),
    Doc("d3", "", ""),
]
QUERIES = [Query("q1", "what mixes"), Query("q2", "nothing"), Query("q3", "unjudged")]
QRELS = [Qrel("q1", "d1", 2), Qrel("q1", "d2", -1), Qrel("q2", "d3", 0)]


def register(dataset_id: str, *, docs: list[Any] = DOCS, qrels: list[Any] | None = QRELS) -> str:
    """Put a dataset into the registry of ir_datasets, once a process, and return its id."""
    formats = irds.formats
    parts = [
        given(formats.BaseDocs, "docs", type(docs[0]), docs),
        given(formats.BaseQueries, "queries", Query, QUERIES),
    ]
    if qrels is not None:
        parts.append(given(formats.BaseQrels, "qrels", Qrel, qrels))
    if dataset_id not in list(irds.registry):
        irds.registry.register(dataset_id, irds.Dataset(*parts))
    return dataset_id


def test_a_registered_dataset_is_the_same_data_as_the_beir_folder_of_it(tmp_path: Path) -> None:
    task = make_task(folder=None, ir_datasets=register("mixbench-zoo/test"))

    (data,) = load_data(task)

    assert (locate(task).kind, data.source, data.split) == ("ir_datasets", "ir_datasets", "test")
    assert data.sha256 == read_beir_folder(make_folder(tmp_path / "tiny"), "test").sha256


def test_another_split_is_the_dataset_beside_it() -> None:
    task = make_task(folder=None, ir_datasets=register("mixbench-zoo/test"), train_split="train")
    register("mixbench-zoo/train", qrels=[Qrel("q3", "d2", 1)])

    assert load_data(task, split="train")[0].qrels == {"q3": {"d2": 1}}
    whole = make_task(folder=None, ir_datasets=register("mixbench-whole"))
    with pytest.raises(MissingData, match="no split 'train' in ir_datasets"):
        load_data(whole, split="train")


def test_documents_without_a_text_have_the_default_text() -> None:
    task = make_task(folder=None, ir_datasets=register("mixbench-bare", docs=[Bare("d1", "", "all of it")]))

    (data,) = load_data(task)

    assert data.corpus[0] == ("d1", "", "all of it")


def test_a_dataset_is_evaluated_by_its_id_and_the_command_says_so(run: Run) -> None:
    register("mixbench-zoo/test")

    ended = run("eval", "-m", "bm25", "-t", "irds:mixbench-zoo/test", "--output", "out")

    assert "irds/mixbench-zoo__test: ir_datasets mixbench-zoo/test" in ended.err
    (result,) = find_results(Path("out"))
    assert (result.task, result.data_source) == ("irds/mixbench-zoo__test", "ir_datasets")
    assert result.provenance.command == "mixbench eval -m bm25 -t irds:mixbench-zoo/test"
    assert result.scores.ndcg_at_10 == 1.0


def test_data_get_makes_a_beir_folder_of_it(tmp_path: Path) -> None:
    task = make_task(ir_datasets=register("mixbench-zoo/test"))

    folder = get_data(task, destination=tmp_path / "cache")

    assert folder == tmp_path / "cache" / "tiny"
    (data,) = load_data(task, data_dir=tmp_path / "cache")
    assert data.source == "folder"
    assert data.sha256 == load_data(task.model_copy(update={"folder": None}))[0].sha256


def test_offline_it_is_not_asked() -> None:
    task = make_task(folder=None, ir_datasets=register("mixbench-zoo/test"))
    with pytest.raises(MissingData, match=r"ir_datasets \(offline\)"):
        locate(task, offline=True)


def test_what_ir_datasets_has_not_is_said_in_a_line() -> None:
    with pytest.raises(UnknownName, match="dataset of ir_datasets 'beir/scifactt/test'; did you mean"):
        chosen_tasks(["irds:beir/scifactt/test"], None)
    register("mixbench-unjudged", qrels=None)
    with pytest.raises(InputError, match="has no qrels; name a subset that has"):
        chosen_tasks(["irds:mixbench-unjudged"], None)


def test_a_dataset_that_cannot_be_read_is_missing_data_with_its_reason() -> None:
    class Broken(irds.formats.BaseDocs):  # type: ignore[misc, name-defined]
        def docs_iter(self) -> Iterator[Any]:
            raise OSError("no route")

    if "mixbench-broken" not in list(irds.registry):
        irds.registry.register("mixbench-broken", irds.Dataset(Broken()))
    with pytest.raises(MissingData, match=r"did not give 'mixbench-broken' \(OSError: no route\)"):
        load_data(make_task(folder=None, ir_datasets="mixbench-broken"))


def test_every_id_that_a_task_file_names_is_one_of_ir_datasets() -> None:
    from mixbench.tasks import find_tasks

    named = {task.ir_datasets for task in find_tasks().values() if task.ir_datasets}
    assert len(named) > 20
    assert named - set(irds.registry) == set()


def test_without_the_package_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixbench.data.load.has_ir_datasets", lambda: False)
    with pytest.raises(MissingData, match=r"pip install 'mixbench\[ir-datasets\]'"):
        locate(make_task(folder=None, ir_datasets="cranfield"))
