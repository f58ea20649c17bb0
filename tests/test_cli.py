"""The command line: what each verb prints and writes, its exit status, and what it refuses in a line."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import TASK, Run, add_task, evaluate, refused

import mixbench
from mixbench.results import find_results

LAZY = ("torch", "mteb", "pydantic", "numpy", "sentence_transformers", "transformers", "datasets", "polars")


# Help


def imported_by(*arguments: str) -> set[str]:
    """Return the top-level names of all that `mixbench ARGUMENTS` imports."""
    command = [sys.executable, "-X", "importtime", "-m", "mixbench", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage:" in ended.stdout
    return {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in ended.stderr.splitlines()}


def test_help_imports_no_heavy_library() -> None:
    imported = imported_by("--help")
    assert "typer" in imported
    assert imported.isdisjoint(LAZY)


@pytest.mark.parametrize(
    "verb",
    [
        ["eval"],
        ["train-retriever"],
        ["search"],
        ["probe"],
        ["retention"],
        ["export"],
        ["data", "check"],
        ["list", "tasks"],
        ["bench", "bm25"],
    ],
)
def test_help_of_a_verb_imports_no_heavy_library_either(verb: list[str]) -> None:
    imported = imported_by(*verb, "--help")
    assert "typer" in imported
    assert imported.isdisjoint({*LAZY} - {"pydantic"})  # typer itself may read options through pydantic


def test_the_version_is_printed_and_nothing_else(run: Run) -> None:
    ended = run("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"mixbench {mixbench.__version__}\n", "")


def test_every_verb_has_help_and_every_option_says_what_it_does(run: Run) -> None:
    verbs = [["eval"], ["train-retriever"], ["leaderboard"], ["train-tokenizer"], ["probe"]]
    verbs += [["retention"], ["data", "get"], ["data", "check"], ["data", "qrels"], ["bench", "bm25"]]
    for verb in verbs:
        ended = run(*verb, "--help")
        assert (ended.status, ended.err) == (0, "")
        assert f"Usage: mixbench {' '.join(verb)}" in ended.out
        options = [line.split("  ") for line in ended.out.splitlines() if line.startswith("  -")]
        assert all(len(parts) > 2 for parts in options if "--help" not in parts)


# eval


def test_eval_writes_results_and_prints_the_table_to_standard_output_alone(run: Run) -> None:
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert ended.status == 0
    assert "nDCG@10" in ended.out
    (row,) = (line for line in ended.out.splitlines() if "bm25" in line)
    assert [word for word in row.split() if word[0].isalnum()][:2] == ["bm25", "1.0000"]
    assert "zoo/tiny: folder" in ended.err
    assert "done bm25 on zoo/tiny" in ended.err
    assert "done" not in ended.out
    (result,) = find_results(Path("out"))
    assert (result.task, result.model, result.scores.ndcg_at_10) == ("zoo/tiny", "bm25", 1.0)
    assert result.provenance.command == "mixbench eval -m bm25 -t zoo/tiny --data-dir DATA"
    folder = (Path("out") / result.place).parent
    beside = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert [name for name in beside if not name.startswith(("runs/.", "."))] == [
        "runs/tiny.trec",
        "tiny.json",
        "tiny.queries.json.gz",
    ]
    queries = json.loads(gzip.decompress((folder / "tiny.queries.json.gz").read_bytes()))
    assert (queries["query_ids"], queries["ndcg_at_10"]) == (["q1"], [1.0])


def test_an_encoders_options_leave_no_trace_on_a_lexical_system(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "tiny", "--precision", "int8", "--batch-size", "7", "--max-length", "9")
    (result,) = find_results(Path("out"))
    assert result.provenance.command == "mixbench eval -m bm25 -t zoo/tiny --data-dir DATA"
    assert (result.provenance.device, result.provenance.seed) == ("cpu", 0)


def test_a_foreign_run_is_evaluated_without_a_model(run: Run) -> None:
    Path("theirs.trec").write_text("q1 Q0 d2 1 3 them\nq1 Q0 d1 2 2 them\n")
    ended = evaluate(run, "-m", "run:theirs.trec", "-t", "zoo")
    assert ended.status == 0
    (row,) = (line for line in ended.out.splitlines() if "run-theirs" in line)
    assert [word for word in row.split() if word[0].isalnum() or word == "–"] == [
        "run-theirs",
        "0.6309",
        "–",
        "–",
    ]
    (result,) = find_results(Path("out"))
    assert (result.scores.mrr_at_10, result.training_sources) == (0.5, None)
    assert result.provenance.command == "mixbench eval -m run:theirs.trec -t zoo/tiny --data-dir DATA"


@pytest.mark.usefixtures("run")
def test_evaluating_a_foreign_run_loads_no_library_of_models() -> None:
    Path("theirs.trec").write_text("q1 Q0 d1 1 2 them\n")
    code = "import sys; from mixbench.cli import app; app(standalone_mode=False); print(*sys.modules)"
    places = ["--tasks-dir", "../tasks", "--data-dir", "../data", "--output", "out"]
    command = [sys.executable, "-c", code, "eval", "-m", "run:theirs.trec", "-t", "zoo", *places]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "run-theirs" in ended.stdout
    loaded = set(ended.stdout.split())
    assert "pytrec_eval" in loaded
    assert loaded.isdisjoint({"torch", "mteb", "sentence_transformers", "transformers", "datasets"})


def test_a_foreign_run_that_cannot_be_used_ends_in_a_line(run: Run) -> None:
    for line, part in {"q1 Q0 d1 1 nan them": "score 'nan'", "q9 Q0 d1 1 1 them": "none of these 1"}.items():
        Path("theirs.trec").write_text(line + "\n")
        refused(evaluate(run, "-m", "run:theirs.trec", "-t", "zoo"), part)


def test_json_is_all_that_is_printed_where_it_is_asked_for(run: Run) -> None:
    ended = evaluate(run, "-m", "bm25", "-m", "bm25-okapi", "-t", "zoo/tiny", "--json")
    first, second = json.loads(ended.out)
    assert (first["model"], second["model"]) == ("bm25", "bm25-okapi")
    assert first["scores"]["ndcg_at_10"] == 1.0
    assert first == json.loads((Path("out") / find_results(Path("out"))[0].place).read_text())


def test_a_second_run_keeps_the_results_and_overwrite_replaces_them(run: Run) -> None:
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (path,) = Path("out").rglob("tiny.json")
    before = path.stat().st_mtime_ns
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert "kept bm25 on zoo/tiny" in ended.err
    assert "1.0000" in ended.out
    assert path.stat().st_mtime_ns == before
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--overwrite")
    assert "done bm25 on zoo/tiny" in ended.err
    assert path.stat().st_mtime_ns > before


def test_a_result_of_another_corpus_is_refused_without_overwrite(run: Run, tmp_path: Path) -> None:
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (path,) = Path("out").rglob("tiny.json")
    before = path.read_bytes()
    with (tmp_path / "data" / "tiny" / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "d4", "text": "what mixes"}\n')
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert (ended.status, ended.out) == (1, "")
    assert "its data_sha256 differs; replace it with --overwrite" in ended.err.splitlines()[-1]
    assert path.read_bytes() == before
    assert evaluate(run, "-m", "bm25", "-t", "zoo", "--overwrite").status == 0
    assert json.loads(path.read_text())["n_documents"] == 4


def test_the_recorded_command_holds_every_option_that_differs_and_gives_the_same_scores(run: Run) -> None:
    options = ("--batch-size", 2, "--max-length", 9, "--query-prompt", "find: ", "--seed", 3, "--offline")
    ended = evaluate(run, "-m", "tiny", "-t", "zoo/tiny", *options)
    assert ended.status == 0
    (result,) = find_results(Path("out"))
    assert result.provenance.command == (
        "mixbench eval -m tiny -t zoo/tiny --batch-size 2 --max-length 9 --query-prompt 'find: ' --seed 3"
        " --offline --data-dir DATA"
    )
    assert (result.model, result.provenance.seed) == ("untrained-tiny", 3)
    assert (result.recipe["max_length"], result.recipe["query_prompt"]) == (9, "find: ")
    assert evaluate(run, "-m", "tiny", "-t", "zoo/tiny", "--seed", 4).status == 0
    assert len({each.model_sha256 for each in find_results(Path("out"))}) == 2


def test_options_of_embeddings_are_in_the_recorded_command_and_in_the_recipe(run: Run) -> None:
    options = "--similarity dot --truncate-dim 9 --precision binary --dtype bfloat16"
    prompts = ("--query-prompt", "{instruction}: ", "--instruction", "find it")
    ended = evaluate(run, "-m", "tiny", "-t", "zoo/tiny", *prompts, *options.split())
    assert ended.status == 0, ended.err
    (result,) = find_results(Path("out"))
    assert result.provenance.command == (
        "mixbench eval -m tiny -t zoo/tiny --query-prompt '{instruction}: ' --instruction 'find it'"
        f" {options} --data-dir DATA"
    )
    chosen = {"similarity": "dot", "truncate_dim": 9, "precision": "binary", "dtype": "bfloat16"}
    assert chosen.items() <= result.recipe.items()
    assert result.recipe["query_prompt"] == "find it: "
    assert result.costs.index_bytes == 3 * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "bm25", "-t", "zoo/tinny"], "unknown task or benchmark 'zoo/tinny'; did you mean 'zoo/tiny'"),
        (["-m", "bm52", "-t", "zoo"], "unknown model 'bm52'; did you mean 'bm25'"),
        (["-m", "MiniLM", "-t", "zoo"], "unknown model 'MiniLM'; did you mean 'minilm'"),
        (
            ["-m", "bm25", "-m", "tiny-tvin", "-t", "zoo"],
            "unknown model 'tiny-tvin'; did you mean 'tiny-twin'",
        ),
        (["-m", "./no-such-folder", "-t", "zoo"], "unknown model './no-such-folder'"),
        (
            ["-m", "no-such-org/model", "-t", "zoo", "--offline"],
            "model 'no-such-org/model' is no folder here",
        ),
        (["-m", "bm25", "-t", "zoo", "--data-dir", "nowhere"], "nowhere: no such folder"),
        (["-m", "bm25", "-t", "zoo", "--tasks-dir", "nowhere"], "nowhere: no task file"),
        (["-m", "tiny", "-t", "zoo", "--max-length", "900"], "maximum length 900 for model 'untrained-tiny'"),
        (["-m", "tiny", "-t", "zoo", "--truncate-dim", "257"], "257 dimensions of model 'untrained-tiny'"),
        (["-m", "bm25", "-t", "zoo", "--precision", "int4"], "unknown precision 'int4'"),
        (["-m", "tiny", "-t", "zoo", "--instruction", "find"], "no {instruction} for --instruction to fill"),
        (["-m", "mixer-tiny", "-t", "zoo", "--load-in-4bit"], "no transformer whose weights can"),
    ],
)
def test_an_unknown_name_or_value_is_one_line_and_nothing_is_written(
    run: Run, arguments: list[str], message: str
) -> None:
    refused(evaluate(run, *arguments), message)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["--batch-size", "0"],
        ["--batch-size", "many"],
        ["--max-length", "-1"],
        ["--truncate-dim", "0"],
        ["an-argument-too-many"],
    ],
)
def test_a_bad_option_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert "Usage: mixbench eval" in ended.err
    assert not Path("out").exists()


def test_an_unknown_verb_is_a_usage_error(run: Run) -> None:
    ended = run("evaluate")
    assert (ended.status, ended.out) == (2, "")
    assert "No such command 'evaluate'" in ended.err


def test_missing_data_is_all_listed_with_how_to_get_it_before_any_work(run: Run, tmp_path: Path) -> None:
    for name in ("absent", "gone"):
        add_task(tmp_path, name, TASK.replace('"tiny"', f'"{name}-folder"'))
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert (ended.status, ended.out) == (1, "")
    for name in ("absent", "gone"):
        assert f"no data for 'zoo/{name}'; looked in: " in ended.err
        assert f"get it by a BEIR folder called '{name}-folder' in --data-dir" in ended.err
    assert "--skip-missing" in ended.err
    assert "done" not in ended.err
    assert not Path("out").exists()


def test_skip_missing_goes_on_and_the_page_says_that_it_is_partial(run: Run, tmp_path: Path) -> None:
    add_task(tmp_path, "absent", TASK.replace('"tiny"', '"absent"'))
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--skip-missing")
    assert ended.status == 0
    assert "skipped no data for 'zoo/absent'" in ended.err
    assert [result.task for result in find_results(Path("out"))] == ["zoo/tiny"]
    run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--allow-dirty")
    page = Path("out/zoo/README.md").read_text()
    assert "partial" in page.lower()
    assert "absent" in page


def test_skip_missing_with_nothing_left_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data" / "tiny")
    ended = evaluate(run, "-m", "bm25", "-t", "zoo", "--skip-missing")
    assert (ended.status, ended.out) == (1, "")
    assert "no task has data" in ended.err
    assert not Path("out").exists()


def test_a_device_that_is_not_there_is_one_line(run: Run) -> None:
    refused(evaluate(run, "-m", "tiny", "-t", "zoo", "--device", "nonsense"), "nonsense")


def test_a_whole_process_ends_with_the_status_and_the_one_line(run: Run, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mixbench",
        "eval",
        "-m",
        "bm25",
        "-t",
        "zoo/none",
        "--tasks-dir",
        "../tasks",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("mixbench: unknown task or benchmark 'zoo/none'; ")
    assert ended.stderr.count("\n") == 1
    assert list(Path().iterdir()) == []
