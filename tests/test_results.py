"""Results on disk: whole files, in their places, refused where anything is amiss."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from word_overlap import WordOverlap, make_data, make_task, store

from mixbench.errors import InputError
from mixbench.evaluation import evaluate, save_evaluation
from mixbench.results import (
    canonical_json,
    find_results,
    folder_name,
    identity_of,
    mean_scores,
    read_query_scores,
    read_result,
    result_place,
    revision_of,
)

IDENTITY: dict[str, Any] = {
    "task": "toy/sea",
    "recipe": {"weight": 1.0, "model_sha256": "aa"},
    "data_sha256": "00",
    "depth": 100,
    "remove_identical": False,
}


def only_file(output: Path) -> Path:
    (path,) = (path for path in output.rglob("*.json"))
    return path


def rewrite(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_result_is_found_again_as_it_was_written(tmp_path: Path) -> None:
    result = store(tmp_path, WordOverlap("org/overlap"), make_task())

    revision = revision_of({"weight": 1.0, "model_sha256": ""})
    assert only_file(tmp_path) == tmp_path / "toy" / "org__overlap" / revision / "sea.json"
    assert find_results(tmp_path) == [result]
    assert find_results(tmp_path / "toy") == [result]
    (tmp_path / "paper" / "evidence").mkdir(parents=True)
    (tmp_path / "paper" / "evidence" / "figures.json").write_text("{}")
    assert find_results(tmp_path) == [result]


def test_an_empty_or_missing_folder_has_no_results(tmp_path: Path) -> None:
    assert find_results(tmp_path) == []
    assert find_results(tmp_path / "missing") == []


def test_the_query_scores_give_exactly_the_scores_of_the_result(tmp_path: Path) -> None:
    result = store(tmp_path, WordOverlap(), make_task())

    query_scores = read_query_scores(only_file(tmp_path), result)

    assert list(query_scores["ndcg_at_10"]) == ["q1", "q2", "q3"]
    assert mean_scores(query_scores) == (result.scores, {})


def test_the_same_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    evaluation = evaluate(WordOverlap(), make_task(), [make_data()], command="")

    first = save_evaluation(tmp_path / "first", evaluation)
    second = save_evaluation(tmp_path / "second", evaluation)

    for name in ("sea.json", "sea.queries.json.gz", "runs/sea.trec"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert (first.parent / "sea.queries.json.gz").read_bytes()[4:8] == bytes(4)  # no time of day


def test_a_result_cannot_be_changed_and_takes_no_unknown_field(tmp_path: Path) -> None:
    result = store(tmp_path, WordOverlap(), make_task())

    with pytest.raises(ValidationError):
        result.task = "toy/land"
    with pytest.raises(ValidationError):
        type(result).model_validate({**result.model_dump(), "colour": "blue"})


@pytest.mark.parametrize(
    "change",
    [
        {"task": "toy/land"},
        {"recipe": {"weight": 1.0, "model_sha256": "bb"}},
        {"recipe": {"weight": 2.0, "model_sha256": "aa"}},
        {"data_sha256": "01"},
        {"depth": 200},
        {"remove_identical": True},
        {"metrics_version": 0},
    ],
)
def test_whatever_decides_a_score_is_part_of_the_identity(change: dict[str, Any]) -> None:
    assert identity_of(**IDENTITY) == identity_of(**IDENTITY)
    assert identity_of(**{**IDENTITY, **change}) != identity_of(**IDENTITY)


def test_a_revision_is_a_hash_of_the_recipe_whatever_its_order() -> None:
    assert revision_of({"a": 1, "b": [2]}) == revision_of({"b": (2,), "a": 1})
    assert revision_of({"a": 1, "b": [2]}) != revision_of({"a": 1, "b": [3]})
    assert len(revision_of({})) == 12
    assert canonical_json({"b": "é", "a": None}) == '{"a":null,"b":"é"}'


@pytest.mark.parametrize(
    ("model", "folder"), [("bm25", "bm25"), ("org/name-v1.5", "org__name-v1.5"), ("a+b=c@d", "a+b=c@d")]
)
def test_a_models_name_is_one_folder(model: str, folder: str) -> None:
    assert folder_name(model) == folder


@pytest.mark.parametrize(
    "model", ["", "..", "a/../b", "/etc", ".hidden", "a..b", "a\\b", "a b", "a//b", "a\n"]
)
def test_a_models_name_never_leads_out_of_its_folder(model: str) -> None:
    with pytest.raises(InputError, match="cannot name a folder"):
        folder_name(model)
    with pytest.raises(InputError):
        result_place("toy/sea", model, "0" * 12)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{\n oops", r"sea\.json:2: not JSON"),
        ("[]", r"sea\.json: schema_version is None"),
        ('{"schema_version": 99}', "schema_version is 99"),
        ('{"schema_version": 1}', "not a result: identity: Field required"),
        ("\x00", "not JSON"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str, problem: str) -> None:
    store(tmp_path, WordOverlap(), make_task())
    only_file(tmp_path).write_text(content)

    with pytest.raises(InputError, match=problem):
        find_results(tmp_path)


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    store(tmp_path, WordOverlap(), make_task())
    path = only_file(tmp_path)
    rewrite(path, scores={**json.loads(path.read_text())["scores"], "mrr_at_10": float("nan")})

    with pytest.raises(InputError, match=r"scores\.mrr_at_10"):
        read_result(path)


@pytest.mark.parametrize(
    "fields",
    [{"task": "toy/land"}, {"task": "land"}, {"model": "better"}, {"revision": "0" * 12}, {"model": "../up"}],
)
def test_a_result_that_lies_where_it_does_not_belong_is_refused(
    tmp_path: Path, fields: dict[str, str]
) -> None:
    store(tmp_path, WordOverlap(), make_task())
    rewrite(only_file(tmp_path), **fields)

    with pytest.raises(InputError, match=r"sea\.json: (holds the result that belongs in|not a result)"):
        find_results(tmp_path)


def test_query_scores_that_were_changed_or_cut_are_refused(tmp_path: Path) -> None:
    result = store(tmp_path, WordOverlap(), make_task())
    path = only_file(tmp_path)
    beside = path.with_name("sea.queries.json.gz")
    packed = beside.read_bytes()

    beside.write_bytes(gzip.compress(gzip.decompress(packed).replace(b"0.5", b"1.0")))
    with pytest.raises(InputError, match="not the query scores that its result was made from"):
        read_query_scores(path, result)

    beside.write_bytes(packed[:40])
    with pytest.raises(InputError, match="cannot be read"):
        read_query_scores(path, result)


def test_a_failed_write_leaves_no_result(tmp_path: Path) -> None:
    evaluation = evaluate(WordOverlap(), make_task(), [make_data()], command="")
    folder = (tmp_path / evaluation.result.place).parent
    folder.mkdir(parents=True)
    (folder / "sea.queries.json.gz").mkdir()

    with pytest.raises(OSError, match=r"sea\.queries"):
        save_evaluation(tmp_path, evaluation)

    assert find_results(tmp_path) == []
    assert [path.name for path in folder.iterdir() if path.is_file()] == []
