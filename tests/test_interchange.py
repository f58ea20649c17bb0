"""Interchange: results as mteb's tree and back, and data out as BEIR folders."""

import json
import math
from pathlib import Path

import mteb
import pytest
from beir.datasets.data_loader import GenericDataLoader
from command import TASK, Run, add_task, evaluate, refused
from mteb.cache import ResultCache
from mteb.results import TaskResult

from mixbench.data.load import load_data, task_sha256
from mixbench.interop.mteb.results import mteb_name, read_task_scores, register_models
from mixbench.results import METRICS, find_results
from mixbench.tasks import load_task

PLACES = ("--tasks-dir", "../tasks", "--output", "out")


@pytest.fixture
def stored(run: Run, tmp_path: Path) -> Run:
    """Results of two systems on a task that mteb has and on one that it has not."""
    add_task(tmp_path, "fact", TASK + 'mteb = "SciFact"\n')
    evaluate(run, "-m", "bm25", "-m", "bm25-code", "-t", "tiny", "-t", "fact")
    return run


def test_results_become_the_tree_that_mteb_loads_and_tabulates(stored: Run) -> None:
    ended = stored("results", "export", "tree", *PLACES)
    assert ended.status == 0
    assert "left out zoo/bm25/" in ended.err
    assert "mteb has no such task" in ended.err
    assert sorted(path.name for path in Path("tree/results").iterdir()) == [
        "mixbench__bm25",
        "mixbench__bm25-code",
    ]
    assert register_models(Path("tree")) == ["mixbench/bm25", "mixbench/bm25-code"]

    benchmark = mteb.Benchmark(name="one", tasks=mteb.get_tasks(tasks=["SciFact"]))
    table = ResultCache(cache_path="tree").load_results(tasks=benchmark).get_benchmark_result()

    assert set(table["Model"].map(lambda cell: "bm25-code" in cell)) == {True, False}
    ours = {each.model: each for each in find_results(Path("out")) if each.task == "zoo/fact"}
    assert list(table["Mean (Task)"]) == pytest.approx([ours["bm25"].main_score] * 2, abs=1e-6)


def test_a_file_of_the_tree_is_a_result_of_mteb_with_all_our_metrics(stored: Run) -> None:
    (path, _) = [Path(line) for line in stored("results", "export", "tree", *PLACES).out.split()]
    (ours,) = [each for each in find_results(Path("out")) if (each.task, each.model) == ("zoo/fact", "bm25")]

    result = TaskResult.from_disk(path)
    (scored,) = read_task_scores(path)

    assert path.parent.name == ours.revision
    assert (result.task_name, result.eval_splits) == ("SciFact", ["test"])
    assert result.dataset_revision == mteb.get_task("SciFact").metadata.revision
    for metric in METRICS.keys() - {"judged_at_10"}:
        assert scored.scores[metric] == pytest.approx(ours.scores.of(metric), abs=1e-6)
    assert scored.scores["main_score"] == scored.scores["ndcg_at_10"]
    meta = json.loads((path.parent / "model_meta.json").read_text())
    assert (meta["name"], meta["revision"], meta["n_parameters"]) == ("mixbench/bm25", ours.revision, 0)


def test_results_of_mteb_are_shown_beside_ours_and_never_stored(stored: Run) -> None:
    (path, _) = [Path(line) for line in stored("results", "export", "tree", *PLACES).out.split()]
    told = json.loads(path.read_text())
    told["scores"]["test"][0]["ndcg_at_10"] = 0.25
    path.write_text(json.dumps(told))
    before = sorted(Path("out").rglob("*"))

    rows = json.loads(stored("results", "compare", "tree", *PLACES, "--json").out)
    (row,) = [each for each in rows if (each["model"], each["metric"]) == ("mixbench/bm25", "nDCG@10")]

    assert row["theirs"] == 0.25
    assert math.isclose(row["difference"], row["ours"] - 0.25)
    assert len(rows) == 2 * (len(METRICS) - 1)
    assert sorted(Path("out").rglob("*")) == before
    assert "mixbench/bm25-code" in stored("results", "compare", path.parents[2], *PLACES).out


def test_a_result_of_mteb_from_before_its_version_1_11_is_read(tmp_path: Path) -> None:
    old = {
        "dataset_revision": "abc",
        "mteb_dataset_name": "SciFact",
        "mteb_version": "1.1.0",
        "test": {"ndcg_at_10": 0.5, "map_at_100": 0.25, "evaluation_time": 3.5},
    }
    path = tmp_path / "SciFact.json"
    path.write_text(json.dumps(old))

    (scored,) = read_task_scores(path)

    assert (scored.task, scored.split, scored.seconds) == ("SciFact", "test", 3.5)
    assert (scored.scores["ndcg_at_10"], scored.scores["map_at_100"]) == (0.5, 0.25)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task_name": "SciFact", "scores": {"test": [{}]}}'])
def test_a_file_that_is_no_result_of_mteb_is_refused_by_name(run: Run, text: str) -> None:
    Path("broken.json").write_text(text)
    refused(run("results", "compare", "broken.json", *PLACES), "broken.json", "no result of mteb")


def test_what_is_not_there_cannot_be_exchanged(run: Run) -> None:
    refused(run("results", "compare", "nothing.json", *PLACES), "nothing.json: no such file or folder")
    refused(run("results", "export", "tree", *PLACES), "out: no such folder")
    assert not Path("tree").exists()


def test_results_of_which_mteb_has_no_task_write_nothing(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "tiny")
    ended = run("results", "export", "tree", *PLACES)
    assert ended.status == 1
    assert "nothing was written" in ended.err
    assert not Path("tree").exists()


def test_tasks_that_mteb_has_not_are_written_when_asked_and_do_not_disturb_its_tables(stored: Run) -> None:
    written = stored("results", "export", "tree", "--own-tasks", *PLACES).out.split()
    assert sorted(Path(line).name for line in written) == ["SciFact.json"] * 2 + ["tiny.json"] * 2
    register_models(Path("tree"))
    benchmark = mteb.Benchmark(name="one", tasks=mteb.get_tasks(tasks=["SciFact"]))
    table = ResultCache(cache_path="tree").load_results(tasks=benchmark).get_benchmark_result()
    assert len(table) == 2

    (path,) = [Path(line) for line in written if line.endswith("tiny.json") and "code" not in line]
    assert TaskResult.from_disk(path).task_name == "tiny"
    (row, *_) = json.loads(stored("results", "compare", str(path), "--json", *PLACES).out)
    assert (row["task"], row["difference"]) == ("tiny", pytest.approx(0, abs=1e-6))


def test_names_without_an_organisation_get_ours() -> None:
    assert mteb_name("bm25") == "mixbench/bm25"
    assert mteb_name("org/model") == "org/model"
    assert mteb_name("bm25@a/b/c") == "mixbench/bm25@a__b__c"


def test_a_task_exported_as_a_beir_folder_reads_back_the_same(run: Run) -> None:
    ended = run("data", "export", "stdlib-code", "data/stdlib", "--split", "test", "--split", "train")

    assert ended.out.strip() == "data/stdlib"
    assert "licence PSF-2.0" in ended.err
    task = load_task("quickstart/stdlib-code")
    folder = task.model_copy(update={"folder": "stdlib", "embedded": None})
    for split in ("test", "train"):
        read = load_data(folder, data_dir=Path("data"), split=split)
        assert read[0].source == "folder"
        assert task_sha256(read) == task_sha256(load_data(task, split=split))


def test_beir_reads_an_exported_folder(run: Run) -> None:
    run("data", "export", "tiny", "copy", "--tasks-dir", "../tasks", "--data-dir", "../data")

    corpus, queries, qrels = GenericDataLoader("copy").load(split="test")

    assert corpus["d1"] == {"title": "Mixers", "text": "A mixer mixes."}
    assert (queries["q1"], qrels["q1"]["d1"]) == ("what mixes", 2)


def test_an_export_replaces_a_beir_folder_when_asked_and_nothing_else_ever(run: Run) -> None:
    arguments = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    run("data", "export", "tiny", "copy", *arguments)
    assert "--overwrite" in run("data", "export", "tiny", "copy", *arguments).err
    assert run("data", "export", "tiny", "copy", *arguments, "--overwrite").status == 0
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    assert "no BEIR folder" in run("data", "export", "tiny", "mine", *arguments, "--overwrite").err
    assert Path("mine/notes.txt").read_text() == "keep"
    assert sorted(path.name for path in Path().iterdir()) == ["copy", "mine"]
