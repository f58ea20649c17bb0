"""Rerankers by name: what `eval --rerank` and `-m maxsim:MODEL` write, record and refuse."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_data import make_folder
from tiny_reranker import make_reranker

from mixbench import cli
from mixbench.experiments.commands import eval_command
from mixbench.experiments.lineage import read_training_sources
from mixbench.experiments.reranking import open_systems
from mixbench.experiments.systems import EncoderOptions, open_system, prepare
from mixbench.models.load import model_folder, model_sha256
from mixbench.results import Result, find_results
from mixbench.retrievers.rerank import Reranked
from mixbench.tasks import load_task

TASK = """description = "Three documents."
folder = "tiny"
eval_split = "test"
licence = "CC0-1.0"
redistribute = true
"""
Evaluate = Callable[..., str | None]
OFFLINE = EncoderOptions(offline=True)


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Run `mixbench eval` on a task of three documents, in an empty folder; return its error, if any."""
    (tmp_path / "tasks" / "zoo").mkdir(parents=True)
    (tmp_path / "tasks" / "zoo" / "tiny.toml").write_text(TASK)
    make_folder(tmp_path / "data" / "tiny")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> str | None:
        places = ("--tasks-dir", "tasks", "--data-dir", "data", "--output", "out", "--offline")
        monkeypatch.setattr(sys, "argv", ["mixbench", "eval", *places, "-t", "zoo", *map(str, arguments)])
        capsys.readouterr()
        status: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code
        if not status:
            return None
        assert status == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("mixbench: ")
        return error

    return call


def results() -> dict[str, Result]:
    return {result.model: result for result in find_results(Path("out"))}


def test_every_model_is_reranked_by_the_mixer_and_its_result_says_so(evaluate: Evaluate) -> None:
    assert (
        evaluate("-m", "bm25", "-m", "bm25-code", "--rerank", "maxsim:mixer-tiny", "--rerank-depth", 2)
        is None
    )
    found = results()
    assert found.keys() == {"bm25@maxsim-mixer-tiny", "bm25-code@maxsim-mixer-tiny"}
    result = found["bm25@maxsim-mixer-tiny"]
    assert result.provenance.command == (
        "mixbench eval -m bm25 -t zoo/tiny --offline --rerank maxsim:mixer-tiny --rerank-depth 2"
        " --data-dir DATA"
    )
    assert result.recipe["depth"] == 2
    assert result.recipe["first"] == open_system("bm25", OFFLINE).recipe
    scorer = result.recipe["scorer"]
    assert isinstance(scorer, dict)
    assert scorer["scoring"] == "maxsim"
    assert scorer["model_sha256"] == model_sha256(model_folder("mixer-tiny"))
    assert set(result.training_sources or ()) == set(read_training_sources(model_folder("mixer-tiny")) or ())
    assert result.scores.ndcg_at_10 == 1.0  # one document is relevant, and the only one that BM25 finds


def test_a_cross_encoder_in_a_folder_reranks_and_its_place_is_no_part_of_the_command(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    folder = make_reranker(tmp_path / "my-reranker")
    assert evaluate("-m", "bm25", "--rerank", "my-reranker") is None
    result = results()["bm25@my-reranker"]
    assert "--rerank my-reranker --data-dir" in result.provenance.command
    scorer = result.recipe["scorer"]
    assert isinstance(scorer, dict)
    assert (scorer["kind"], scorer["model_sha256"]) == ("cross-encoder", model_sha256(folder))
    assert (result.recipe["depth"], result.training_sources) == (100, None)
    assert evaluate("-m", "bm25", "--rerank", folder, "--overwrite") is None
    assert results()["bm25@my-reranker"].provenance.command == result.provenance.command


def test_another_depth_is_another_result_and_the_same_one_is_kept(evaluate: Evaluate, tmp_path: Path) -> None:
    make_reranker(tmp_path / "my-reranker")
    for depth in (2, 3, 2):
        assert evaluate("-m", "bm25", "--rerank", "my-reranker", "--rerank-depth", depth) is None
    revisions = [(result.revision, result.recipe["depth"]) for result in find_results(Path("out"))]
    assert len(set(revisions)) == 2
    assert {depth for _, depth in revisions} == {2, 3}


def test_maxsim_searches_by_itself_too(evaluate: Evaluate) -> None:
    assert evaluate("-m", "maxsim:mixer-tiny", "--max-length", 9, "--query-prompt", "find: ") is None
    result = results()["maxsim-mixer-tiny"]
    assert (result.recipe["max_length"], result.recipe["query_prompt"]) == (9, "find: ")
    assert (result.empty_rankings, result.costs.index_bytes > 0) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rerank-depth", 5], "--rerank-depth 5 says how deep; add --rerank MODEL"),
        (
            ["--rerank", "no-such-reranker"],
            "'no-such-reranker' is no folder here and the hub does not give it",
        ),
        (["--rerank", "maxsim:mixer-tinny"], "unknown model 'mixer-tinny'; did you mean 'mixer-tiny'"),
        (["--rerank", "maxsim:bm25"], "maxsim:bm25: 'bm25' is no encoder of sentence-transformers"),
        (["--rerank", "mixer-tiny"], "is no cross-encoder but"),
    ],
)
def test_what_cannot_rerank_is_refused_in_a_line(
    evaluate: Evaluate, arguments: list[object], message: str
) -> None:
    assert message in (evaluate("-m", "bm25", *arguments) or "")
    assert not Path("out").exists()


def test_lengths_and_prompts_of_the_first_stage_are_not_the_rerankers(tmp_path: Path) -> None:
    make_reranker(tmp_path / "my-reranker")
    options = EncoderOptions(offline=True, max_length=9, query_prompt="find: ", rerank="maxsim:mixer-tiny")
    (system,) = open_systems(["mixer-tiny"], options)
    first, scorer = system.recipe["first"], system.recipe["scorer"]
    assert (first["max_length"], first["query_prompt"]) == (9, "find: ")
    assert (scorer["max_length"], scorer["query_prompt"]) == (256, "")


def test_a_reranker_is_opened_once_for_all_models() -> None:
    first, second = open_systems(["bm25", "bm25-code"], EncoderOptions(rerank="maxsim:mixer-tiny"))
    assert isinstance(first, Reranked)
    assert isinstance(second, Reranked)
    assert first.scorer is second.scorer


def test_names_that_an_organisation_gives_have_no_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub" / "models--org--reranker"
    make_reranker(cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (system,) = open_systems(["bm25"], EncoderOptions(offline=True, rerank="org/reranker"))
    assert system.name == "bm25@org__reranker"


def test_a_reranked_model_is_prepared_for_a_task_as_its_first_stage_is() -> None:
    (system,) = open_systems(["bm25"], EncoderOptions(rerank="maxsim:mixer-tiny", rerank_depth=7))
    prepared = prepare(system, load_task("quickstart/stdlib-code"))
    assert isinstance(prepared, Reranked)
    assert isinstance(system, Reranked)
    assert (prepared.first, prepared.scorer, prepared.depth) == (system.first, system.scorer, 7)


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("/srv/models/mine", "mine"),
        ("maxsim:/srv/models/mine", "maxsim:mine"),
        ("maxsim:mixer-tiny", "maxsim:mixer-tiny"),
        ("org/name", "org/name"),
        ("models/mine", "models/mine"),
    ],
)
def test_a_recorded_command_names_no_place_of_a_reranker(given: str, recorded: str) -> None:
    for line in (
        eval_command(given, "zoo/tiny", EncoderOptions(), local_data=False).split()[3],
        eval_command("bm25", "zoo/tiny", EncoderOptions(rerank=given), local_data=False).split()[-1],
    ):
        assert line == recorded


def test_a_stored_run_can_be_reranked(evaluate: Evaluate, tmp_path: Path) -> None:
    make_reranker(tmp_path / "my-reranker")
    Path("theirs.trec").write_text("q1 Q0 d2 1 2.0 theirs\nq1 Q0 d1 2 1.0 theirs\n")
    assert evaluate("-m", "run:theirs.trec", "--rerank", "my-reranker", "--rerank-depth", 2) is None
    assert results()["run-theirs@my-reranker"].scores.recall_at_100 == 1.0


def test_a_stored_run_with_documents_that_have_no_text_here_is_not_reranked(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    make_reranker(tmp_path / "my-reranker")
    Path("theirs.trec").write_text("q1 Q0 gone 1 2.0 theirs\n")
    error = evaluate("-m", "run:theirs.trec", "--rerank", "my-reranker")
    assert error is not None
    assert "'gone', which is not in the corpus" in error


def test_a_fusion_whose_weights_are_to_be_learned_needs_its_split_reranked_or_not(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    make_reranker(tmp_path / "my-reranker")
    error = evaluate("-m", "tuned:bm25,bm25-code", "--rerank", "my-reranker")
    assert error is not None
    assert "dev" in error
