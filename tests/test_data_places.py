"""Where data is found, and in which order; embedded data; the SHA-256 recorded in a task's file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_data import make_folder, make_task

from mixbench.data import load_data, locate, task_sha256
from mixbench.data.check import record_sha256
from mixbench.data.frozen import read_about, read_frozen
from mixbench.errors import InputError, MissingData
from mixbench.tasks import load_task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiny")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without data, so that the cache is empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MIXBENCH_DATA", raising=False)
    return tmp_path / "home"


def test_a_folder_is_taken_from_the_option_then_the_environment_then_the_cache(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    cached = make_folder(home / ".cache" / "mixbench" / "data" / "tiny")
    assert locate(task).place == str(cached)
    named = make_folder(tmp_path / "named" / "tiny")
    monkeypatch.setenv("MIXBENCH_DATA", str(tmp_path / "named"))
    assert locate(task).place == str(named)
    given = make_folder(tmp_path / "given" / "tiny")
    assert locate(task, data_dir=tmp_path / "given").place == str(given)
    assert load_data(task, data_dir=tmp_path / "given")[0].source == "folder"


def test_a_folder_that_is_there_but_damaged_is_never_passed_over(tmp_path: Path, home: Path) -> None:
    make_folder(home / ".cache" / "mixbench" / "data" / "tiny")
    (tmp_path / "given" / "tiny").mkdir(parents=True)
    with pytest.raises(InputError, match=r"given/tiny: no corpus\.jsonl"):
        load_data(make_task(), data_dir=tmp_path / "given")


def test_missing_data_says_where_was_looked_and_how_to_get_it(tmp_path: Path, home: Path) -> None:
    with pytest.raises(MissingData) as caught:
        load_data(make_task(mteb="SciFact"), data_dir=tmp_path, offline=True)
    cache = home / ".cache" / "mixbench" / "data"
    assert str(caught.value) == (
        f"no data for 'zoo/tiny'; looked in: {tmp_path}/tiny, {cache}/tiny, the hub (offline, and not in the "
        "Hugging Face cache); get it by `mixbench data get zoo/tiny` or a BEIR folder called 'tiny' in "
        "--data-dir"
    )


def test_a_data_folder_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        locate(make_task(), data_dir=tmp_path / "nowhere")


def test_every_part_of_a_task_must_be_there(tmp_path: Path) -> None:
    task = make_task(parts={"ants": "Ants", "bees": "Bees"})
    make_folder(tmp_path / "tiny" / "ants")
    with pytest.raises(MissingData, match="lacks bees"):
        load_data(task, data_dir=tmp_path)
    make_folder(tmp_path / "tiny" / "bees")
    ants, bees = load_data(task, data_dir=tmp_path)
    assert (ants.part, bees.part) == ("ants", "bees")
    assert ants.sha256 == bees.sha256
    assert task_sha256([ants, bees]) == task_sha256([bees, ants]) != ants.sha256
    assert task_sha256([ants, ants]) != task_sha256([ants, bees])


def test_another_split_is_read_when_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path / "tiny")
    shutil.copy(tmp_path / "tiny" / "qrels" / "test.tsv", tmp_path / "tiny" / "qrels" / "train.tsv")
    assert load_data(make_task(), data_dir=tmp_path, split="train")[0].split == "train"
    with pytest.raises(InputError, match="no judgments of split 'dev'; splits here: test, train"):
        load_data(make_task(), data_dir=tmp_path, split="dev")


def test_data_that_differs_from_the_recorded_sha256_is_given_and_can_be_told(tmp_path: Path) -> None:
    make_folder(tmp_path / "tiny")
    task = make_task(sha256="0" * 64)
    assert task_sha256(load_data(task, data_dir=tmp_path)) != task.sha256


TASK_FILE = """\
description = "Three documents."  # [not a table]
folder = "tiny"
eval_split = "test"
licence = "CC0-1.0"
redistribute = true
in_domain = [
    "pairs",
]

# published
[reference]
bm25 = 0.5
"""


@pytest.fixture
def tasks_dir(tmp_path: Path) -> Path:
    (tmp_path / "tasks" / "zoo").mkdir(parents=True)
    (tmp_path / "tasks" / "zoo" / "tiny.toml").write_text(TASK_FILE)
    return tmp_path / "tasks"


def test_the_sha256_of_data_really_read_is_recorded_in_the_task_file(folder: Path, tasks_dir: Path) -> None:
    data = load_data(load_task("zoo/tiny", tasks_dir), data_dir=folder.parent)
    path = record_sha256(load_task("zoo/tiny", tasks_dir), data, tasks_dir)
    task = load_task("zoo/tiny", tasks_dir)
    assert task.sha256 == data[0].sha256
    line = f'sha256 = "{data[0].sha256}"'
    assert [each for each in path.read_text().splitlines() if each != line] == TASK_FILE.splitlines()

    corpus = folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("mixes.", "mixes!"))
    changed = load_data(task, data_dir=folder.parent)
    record_sha256(task, changed, tasks_dir)
    assert load_task("zoo/tiny", tasks_dir).sha256 == changed[0].sha256 != data[0].sha256
    assert len(path.read_text().splitlines()) == len(TASK_FILE.splitlines()) + 1


def test_the_sha256_of_another_split_is_not_recorded(folder: Path, tasks_dir: Path) -> None:
    make_folder(folder.parent / "other" / "tiny", split="train")
    data = load_data(load_task("zoo/tiny", tasks_dir), data_dir=folder.parent / "other", split="train")
    with pytest.raises(InputError, match="not recorded for 'zoo/tiny'"):
        record_sha256(load_task("zoo/tiny", tasks_dir), data, tasks_dir)
    with pytest.raises(InputError, match="not recorded for 'zoo/tiny'"):
        record_sha256(load_task("zoo/tiny", tasks_dir), [], tasks_dir)
    assert (tasks_dir / "zoo" / "tiny.toml").read_text() == TASK_FILE


def test_embedded_data_is_read_from_the_package_by_split() -> None:
    train, test = read_frozen("stdlib-code", "train"), read_frozen("stdlib-code", "test")
    assert train.corpus == test.corpus
    assert not set(train.queries) & set(test.queries)
    doc_ids = {document.doc_id for document in test.corpus}
    for data in (train, test):
        assert set(data.queries) == set(data.qrels)
        assert doc_ids.issuperset(doc_id for judged in data.qrels.values() for doc_id in judged)
    assert test.source == "embedded"
    assert "PSF" in json.dumps(read_about("stdlib-code"))
    with pytest.raises(InputError, match="no split 'dev'; splits here: test, train"):
        read_frozen("stdlib-code", "dev")


def test_a_task_with_embedded_data_needs_nothing_else() -> None:
    task = make_task(folder=None, embedded="stdlib-code")
    assert locate(task, offline=True).kind == "embedded"
    assert load_data(task, offline=True)[0].split == "test"


def test_an_embedded_file_that_is_not_there_is_missing_data() -> None:
    with pytest.raises(
        MissingData, match=r"no data for 'zoo/tiny'; .*no-such\.jsonl\.xz; reinstall mixbench"
    ):
        locate(make_task(folder=None, embedded="no-such"), offline=True)


def test_the_data_room_opens_without_anything_heavy() -> None:
    code = "import sys, mixbench.data; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "mteb", "datasets", "polars", "pydantic", "numpy", "requests"} & set(loaded)
