"""Task files: what ships, how names are resolved, and how a bad file is refused."""

from collections import Counter
from pathlib import Path

import pytest

from mixbench.errors import InputError, UnknownName
from mixbench.tasks import Task, find_tasks, load_task, select_tasks

SHIPPED = Path(__file__).parents[1] / "tasks"
GOOD = """\
description = "Toy questions."
folder = "toy"
eval_split = "test"
licence = "CC0-1.0"
redistribute = true
"""


@pytest.fixture
def tasks_dir(tmp_path: Path) -> Path:
    """Three tasks in two benchmarks; both benchmarks have a "toy"."""
    for name in ("one/toy", "one/science", "two/toy"):
        write(tmp_path, name, GOOD)
    return tmp_path


def write(tasks_dir: Path, name: str, text: str) -> Path:
    path = tasks_dir / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def names(tasks: list[Task]) -> list[str]:
    return [task.name for task in tasks]


def test_every_benchmark_ships_all_its_tasks() -> None:
    assert Counter(task.benchmark for task in find_tasks(SHIPPED).values()) == {
        "quickstart": 1,
        "beir": 15,
        "nanobeir": 13,
        "mteb-eng-v2": 10,
        "classic": 8,
        "domain": 7,
        "ablations": 2,
    }


def test_a_task_is_named_by_its_path() -> None:
    task = load_task("beir/scifact", SHIPPED)
    assert (task.name, task.benchmark, task.short_name) == ("beir/scifact", "beir", "scifact")
    assert (task.mteb, task.eval_split, task.train_split) == ("SciFact", "test", "train")


def test_tasks_come_sorted_by_name(tasks_dir: Path) -> None:
    assert list(find_tasks(tasks_dir)) == ["one/science", "one/toy", "two/toy"]


def test_every_known_item_task_says_so_in_its_description() -> None:
    tasks = find_tasks(SHIPPED).values()
    marked = [task.name for task in tasks if task.known_item]
    assert marked == [task.name for task in tasks if task.benchmark == "domain"]
    assert all("known-item" in task.description.lower() for task in tasks if task.known_item)


def test_every_licence_is_named_and_doubtful_ones_forbid_showing_texts() -> None:
    for task in find_tasks(SHIPPED).values():
        assert task.licence
        doubtful = ("not specified", "none stated", "academic", "-NC-", "msr-la-nc", "as the packages")
        assert not (task.redistribute and any(word in task.licence for word in doubtful)), task.name


def test_cqadupstack_is_the_mean_over_its_twelve_forums() -> None:
    task = load_task("beir/cqadupstack", SHIPPED)
    assert len(task.parts) == 12
    assert task.parts["unix"] == "CQADupstackUnixRetrieval"


def test_msmarco_is_scored_on_dev_and_nanobeir_on_the_split_named_train() -> None:
    tasks = [task for task in find_tasks(SHIPPED).values() if task.benchmark != "ablations"]
    other = {task.name: task.eval_split for task in tasks if task.eval_split != "test"}
    assert other.pop("beir/msmarco") == "dev"
    assert set(other.values()) == {"train"}
    assert set(other) == {task.name for task in tasks if task.benchmark == "nanobeir"}


def test_the_tasks_of_choices_are_scored_on_no_test_query() -> None:
    chosen = {
        task.folder: task.eval_split for task in find_tasks(SHIPPED).values() if task.benchmark == "ablations"
    }
    assert chosen == {"nfcorpus": "dev", "scifact": "train"}


def test_no_task_is_trained_or_tuned_on_the_split_that_scores_it() -> None:
    for task in find_tasks(SHIPPED).values():
        assert task.eval_split not in (task.dev_split, task.train_split), task.name


def test_a_copy_of_a_trainable_task_knows_training_on_it_as_in_domain() -> None:
    assert "beir/fiqa" in load_task("mteb-eng-v2/fiqa", SHIPPED).in_domain
    assert "nfcorpus" in load_task("nanobeir/nano-nfcorpus", SHIPPED).in_domain
    assert "FEVER" in load_task("mteb-eng-v2/fever-hard-negatives", SHIPPED).in_domain


def test_published_scores_are_kept_by_system() -> None:
    reference = load_task("beir/nfcorpus", SHIPPED).reference
    assert reference["bm25-anserini-flat"] == 0.3218
    assert reference["sentence-transformers/all-MiniLM-L6-v2"] == 0.31594
    assert all(0 < score < 1 for task in find_tasks(SHIPPED).values() for score in task.reference.values())


def test_splits_exist_in_the_real_data(shared_data: Path) -> None:
    read = [task for task in find_tasks(SHIPPED).values() if (shared_data / (task.folder or "?")).is_dir()]
    assert {"beir/scifact", "beir/nfcorpus", "classic/cranfield", "domain/medquad"} <= set(names(read))
    for task in read:
        if task.benchmark == "ablations":
            continue
        splits = {path.stem for path in (shared_data / str(task.folder) / "qrels").glob("*.tsv")}
        assert {task.eval_split, task.dev_split, task.train_split} - {None} == splits, task.name


def test_flags_metric_and_split_are_those_of_mteb() -> None:
    import mteb

    for task in find_tasks(SHIPPED).values():
        for name in task.parts.values() or filter(None, [task.mteb]):
            theirs = mteb.get_task(name)
            assert theirs.ignore_identical_ids == task.remove_identical, task.name
            assert theirs.metadata.main_score == task.main_metric, task.name
            assert list(theirs.metadata.eval_splits) == [task.hub_split or task.eval_split], task.name


def test_benchmarks_have_exactly_the_retrieval_tasks_of_mteb() -> None:
    import mteb

    pairs = [("beir", "BEIR"), ("nanobeir", "NanoBEIR"), ("mteb-eng-v2", "MTEB(eng, v2)")]
    for benchmark, theirs in pairs:
        metadata = [task.metadata for task in mteb.get_benchmark(theirs).tasks]
        expected = {each.name for each in metadata if each.type == "Retrieval"}
        assert {task.mteb for task in select_tasks([benchmark], SHIPPED)} == expected


def test_a_name_is_a_benchmark_a_task_a_short_name_or_a_pattern(tasks_dir: Path) -> None:
    assert names(select_tasks(["one"], tasks_dir)) == ["one/science", "one/toy"]
    assert names(select_tasks(["two/toy"], tasks_dir)) == ["two/toy"]
    assert names(select_tasks(["science"], tasks_dir)) == ["one/science"]
    assert names(select_tasks(["*/toy"], tasks_dir)) == ["one/toy", "two/toy"]
    assert names(select_tasks(["one/s*"], tasks_dir)) == ["one/science"]


def test_a_task_named_twice_is_selected_once_where_it_was_first_named(tasks_dir: Path) -> None:
    assert names(select_tasks(["two/toy", "*", "one"], tasks_dir)) == ["two/toy", "one/science", "one/toy"]


def test_a_short_name_of_several_tasks_is_refused_with_the_list_of_them(tasks_dir: Path) -> None:
    with pytest.raises(InputError, match="'toy' is the name of several tasks; say which: one/toy, two/toy"):
        load_task("toy", tasks_dir)


def test_an_unknown_name_suggests_the_nearest(tasks_dir: Path) -> None:
    with pytest.raises(UnknownName, match="unknown task or benchmark 'sciense'; did you mean 'science'"):
        select_tasks(["sciense"], tasks_dir)


def test_an_unknown_name_like_no_other_lists_the_benchmarks(tasks_dir: Path) -> None:
    with pytest.raises(UnknownName, match=r"'zzzzzz'; known: one, two$"):
        select_tasks(["zzzzzz"], tasks_dir)
    assert str(UnknownName.of("model", "a", [])) == "unknown model 'a'; known: none"


def test_a_pattern_that_matches_nothing_is_refused(tasks_dir: Path) -> None:
    with pytest.raises(UnknownName, match=r"'three/\*'"):
        select_tasks(["three/*"], tasks_dir)


def test_a_task_of_mteb_is_resolved_by_whoever_knows_mteb(tasks_dir: Path) -> None:
    def resolve(name: str) -> Task:
        return Task(
            name=f"mteb/{name}",
            description="From mteb.",
            mteb=name,
            eval_split="test",
            licence="not specified",
            redistribute=False,
        )

    chosen = select_tasks(["mteb:FaithDial", "two", "mteb:FaithDial"], tasks_dir, describe={"mteb": resolve})
    assert names(chosen) == ["mteb/FaithDial", "two/toy"]
    with pytest.raises(InputError, match="'mteb:FaithDial'"):
        select_tasks(["mteb:FaithDial"], tasks_dir)


def test_a_given_folder_without_task_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}: no task file"):
        find_tasks(tmp_path)


def test_the_current_folder_is_the_whole_set_where_it_has_tasks(
    tasks_dir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path_factory.mktemp("project")
    monkeypatch.chdir(project)
    assert "beir/scifact" in find_tasks()
    (project / "tasks").mkdir()
    assert "beir/scifact" in find_tasks()
    write(project / "tasks", "mine/toy", GOOD)
    assert list(find_tasks()) == ["mine/toy"]
    assert len(find_tasks(tasks_dir)) == 3


def test_a_broken_file_does_not_stop_other_tasks_from_loading(tasks_dir: Path) -> None:
    write(tasks_dir, "two/broken", "not toml")
    assert load_task("one/toy", tasks_dir).name == "one/toy"
    with pytest.raises(InputError, match=r"broken\.toml"):
        find_tasks(tasks_dir)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (GOOD + "folderr = 'x'\n", ":6", "unknown key 'folderr'; did you mean 'folder'?"),
        (GOOD + "name = 'x'\n", ":6", "unknown key 'name'; a task is named by its path"),
        (GOOD + "metric = \n", ":6", "not TOML: Invalid value (at line 6, column 10)"),
        (GOOD + "folder = 'x'\n", ":6", "not TOML: Cannot overwrite a value (at line 6, column 13)"),
        (GOOD.replace("true", "'yes'"), ":5", "redistribute = 'yes': Input should be a valid boolean"),
        (GOOD + "parts = {a = 1}\n", "", "a = 1: Input should be a valid string"),
        (GOOD + "sha256 = 'abc'\n", ":6", "sha256 = 'abc': String should match pattern"),
        (GOOD.replace('licence = "CC0-1.0"\n', ""), "", "the key 'licence' is missing"),
        (GOOD.replace('folder = "toy"\n', ""), "", "no source of data"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_line(
    tmp_path: Path, text: str, line: str, problem: str
) -> None:
    path = write(tmp_path, "one/toy", text)
    with pytest.raises(InputError) as caught:
        load_task("one/toy", tmp_path)
    assert str(caught.value).startswith(f"{path}{line}: {problem}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "one/toy", GOOD)
    path.write_bytes(GOOD.replace("Toy", "Caf\xe9").encode("latin-1"))
    with pytest.raises(InputError, match=f"{path}: not UTF-8 at byte 18"):
        load_task("one/toy", tmp_path)
