"""Builders: a cut of each raw format becomes the collection that its task is, downloaded from loopback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Server, serving
from tiny_data import make_task

from mixbench.data import Document, load_data
from mixbench.data.builders import BUILDERS, build
from mixbench.data.download import get_data
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.tasks import find_tasks, load_task

SQUAD = {
    "data": [
        {
            "title": "Super_Bowl_50",
            "paragraphs": [
                {"context": " A game. ", "qas": [{"id": "56be", "question": "What was it? ", "answers": []}]},
                {"context": "A stadium.", "qas": []},
            ],
        }
    ],
    "version": "1.1",
}
INDEX = {"def a(): pass": 0, "def b(): pass": 1}
QUERIES = [{"idx": "cosqa-train-7", "doc": "a function", "code": "def b(): pass", "label": "1"}]
PAPERS = {
    "train": {"paper_id": "P1", "source": ["One.", "Two."], "target": ["Trained on."]},
    "dev": {"paper_id": "P2", "source": ["Three."], "target": ["Chosen on."]},
    "test": {"paper_id": "P3", "source": ["Four.", "Five."], "target": ["Short.", "Other."], "title": "T"},
}
RAW: dict[str, dict[str, str]] = {
    "squad": {"dev.json": json.dumps(SQUAD)},
    "cosqa": {"code_idx_map.json": json.dumps(INDEX), "test.json": json.dumps(QUERIES)},
    "scitldr": {f"{split}.jsonl": json.dumps(paper) + "\n" for split, paper in PAPERS.items()},
}
BUILT: dict[str, tuple[list[Document], dict[str, str], dict[str, dict[str, int]]]] = {
    "squad": (
        [
            Document("Super_Bowl_50_0", "Super Bowl 50", "A game."),
            Document("Super_Bowl_50_1", "Super Bowl 50", "A stadium."),
        ],
        {"56be": "What was it?"},
        {"56be": {"Super_Bowl_50_0": 1}},
    ),
    "cosqa": (
        [Document("c0", "", "def a(): pass"), Document("c1", "", "def b(): pass")],
        {"cosqa-train-7": "a function"},
        {"cosqa-train-7": {"c1": 1}},
    ),
    "scitldr": (
        [Document("P1", "", "One. Two."), Document("P2", "", "Three."), Document("P3", "", "Four. Five.")],
        {"P3-t": "Short."},
        {"P3-t": {"P3": 1}},
    ),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


def write_raw(name: str, folder: Path) -> Path:
    folder.mkdir()
    for file, text in RAW[name].items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def task_of(name: str, server: Server) -> Any:
    raw = {file: server.url(f"/{file}") for file in RAW[name]}
    return make_task(builder=name, raw=raw, origin="https://example.org")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_cut_of_the_raw_files_is_built_exactly(name: str, tmp_path: Path) -> None:
    data = build(name, write_raw(name, tmp_path / "raw"))

    assert (list(data.corpus), data.queries, data.qrels) == BUILT[name]
    assert data.split == "test"


@pytest.mark.parametrize("name", BUILDERS)
def test_data_get_downloads_and_builds(name: str, server: Server, tmp_path: Path) -> None:
    for file, text in RAW[name].items():
        server.files[f"/{file}"] = text.encode()
    task = task_of(name, server)

    get_data(task, destination=tmp_path / "cache")

    (data,) = load_data(task, data_dir=tmp_path / "cache")
    assert (list(data.corpus), data.queries, data.qrels) == BUILT[name]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tiny"]


def test_a_raw_file_that_is_not_there_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    server.files["/code_idx_map.json"] = RAW["cosqa"]["code_idx_map.json"].encode()
    with pytest.raises(MixbenchError, match=r"test\.json: the server answered 404"):
        get_data(task_of("cosqa", server), destination=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("name", "file"), [(name, file) for name in RAW for file in RAW[name]])
def test_raw_files_of_another_form_are_refused(name: str, file: str, tmp_path: Path) -> None:
    raw = write_raw(name, tmp_path / "raw")
    (raw / file).write_text('{"something": "else"}\n')
    with pytest.raises(InputError, match=f"raw: not the raw files of {name!r}"):
        build(name, raw)


def test_a_broken_line_of_a_raw_file_is_named(tmp_path: Path) -> None:
    raw = write_raw("scitldr", tmp_path / "raw")
    (raw / "dev.jsonl").write_text("{\n")
    with pytest.raises(InputError, match=r"dev\.jsonl:1: broken JSON"):
        build("scitldr", raw)


def test_a_task_that_nobody_can_make_again_says_so(tmp_path: Path) -> None:
    task = make_task(reproducible=False, origin="https://example.org")
    with pytest.raises(InputError, match=r"nobody can make it again from https://example\.org"):
        get_data(task, destination=tmp_path)


def test_an_unknown_builder_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown builder 'squat'; did you mean 'squad'"):
        build("squat", tmp_path)


def test_every_domain_task_names_its_origin_and_is_built_or_said_to_be_not_reproducible() -> None:
    tasks = [task for task in find_tasks().values() if task.benchmark == "domain"]
    assert all(task.origin for task in tasks)
    assert {task.builder for task in tasks if task.reproducible} == set(BUILDERS)
    assert all(set(task.raw) == set(RAW[task.builder]) for task in tasks if task.builder)
    assert not any(task.builder for task in tasks if not task.reproducible)


def test_what_squads_builder_makes_of_the_questions_and_paragraphs_of_the_shared_set_is_that_set(
    shared_data: Path, tmp_path: Path
) -> None:
    task = load_task("domain/squad-dev")
    (data,) = load_data(task, data_dir=shared_data)
    articles: dict[str, list[dict[str, Any]]] = {}
    places: dict[str, dict[str, Any]] = {}
    for document in sorted(data.corpus, key=lambda each: int(each.doc_id.rpartition("_")[2])):
        paragraph: dict[str, Any] = {"context": document.text, "qas": []}
        articles.setdefault(document.doc_id.rpartition("_")[0], []).append(paragraph)
        places[document.doc_id] = paragraph
    for query_id, judged in data.qrels.items():
        places[next(iter(judged))]["qas"].append({"id": query_id, "question": data.queries[query_id]})
    raw = {"data": [{"title": title, "paragraphs": each} for title, each in articles.items()]}
    (tmp_path / "dev.json").write_text(json.dumps(raw))

    assert build("squad", tmp_path).sha256 == task.sha256
