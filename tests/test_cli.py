"""The command line: what each verb prints and writes, its exit status, and what it refuses in a line."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import TASK, Ended, Run, add_task, evaluate, refused

from mixbench.results import find_results

LAZY = ("torch", "mteb", "pydantic", "numpy", "sentence_transformers", "transformers", "datasets", "polars")
QREL = "qrels/test.tsv"


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


def test_every_verb_has_help_and_every_option_says_what_it_does(run: Run) -> None:
    verbs = [["eval"], ["train-retriever"], ["leaderboard"], ["train-tokenizer"]]
    verbs += [["data", "get"], ["data", "check"], ["data", "qrels"], ["bench", "bm25"]]
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


def test_an_id_that_looks_like_markup_is_an_id_as_any_other(run: Run, tmp_path: Path) -> None:
    edit("corpus.jsonl", 1, '{"_id": "[/b] x", "text": "A mixer mixes."}')(tmp_path / "data" / "tiny")
    edit(QREL, 2, "q1\t[/b] x\t1")(tmp_path / "data" / "tiny")
    ended = evaluate(run, "-m", "bm25", "-t", "zoo")
    assert ended.status == 0
    assert "no run written for zoo/tiny" in ended.err
    assert find_results(Path("out"))[0].scores.ndcg_at_10 == 1.0


def test_a_device_that_is_not_there_is_one_line(run: Run) -> None:
    refused(evaluate(run, "-m", "tiny", "-t", "zoo", "--device", "nonsense"), "nonsense")


# Bad data


def edit(file: str, line: int, text: str) -> Callable[[Path], None]:
    """Replace a 1-based line of a file."""

    def change(folder: Path) -> None:
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
        lines[line - 1] = text
        (folder / file).write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))

    return change


def empty(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(b"")


BAD_DATA = {
    "broken JSON line": (edit("corpus.jsonl", 2, '{"_id": "d2"'), "corpus.jsonl:2: broken JSON"),
    "broken JSON query": (edit("queries.jsonl", 1, "what mixes"), "queries.jsonl:1: broken JSON"),
    "document id twice": (
        edit("corpus.jsonl", 3, '{"_id": "d1", "text": "x"}'),
        "corpus.jsonl:3: '_id' 'd1'",
    ),
    "query id twice": (edit("queries.jsonl", 2, '{"_id": "q1", "text": "x"}'), "queries.jsonl:2: '_id' 'q1'"),
    "document without id": (edit("corpus.jsonl", 3, '{"text": "x"}'), "corpus.jsonl:3: no '_id'"),
    "query without id": (edit("queries.jsonl", 1, '{"text": "x"}'), "queries.jsonl:1: no '_id'"),
    "judged unknown document": (edit(QREL, 2, "q1\td9\t1"), "test.tsv:2: document 'd9'"),
    "judged unknown query": (edit(QREL, 2, "q9\td1\t1"), "test.tsv:2: query 'q9'"),
    "empty corpus": (empty("corpus.jsonl"), "corpus.jsonl: holds no document"),
    "empty text": (edit("queries.jsonl", 1, '{"_id": "q1", "text": " "}'), "queries.jsonl:1: empty 'text'"),
    "no text": (edit("corpus.jsonl", 1, '{"_id": "d1"}'), "corpus.jsonl:1: no 'text'"),
    "not UTF-8": (edit("corpus.jsonl", 1, '{"_id": "d1", "text": "\udce9"}'), "corpus.jsonl:1: not UTF-8"),
    "qrels not UTF-8": (edit(QREL, 2, "q1\td\udce9\t1"), "test.tsv:2: not UTF-8"),
    "wrong header": (edit(QREL, 1, "query\tdocument\tscore"), "test.tsv:1: header"),
    "no header": (edit(QREL, 1, "q1\td1\t1"), "test.tsv:1: header"),
    "half a score": (edit(QREL, 2, "q1\td1\t0.5"), "test.tsv:2: score '0.5'"),
}


@pytest.mark.parametrize(("damage", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_is_refused_by_file_and_line_and_nothing_is_written(
    run: Run, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(tmp_path / "data" / "tiny")
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), message)
    ended = run("data", "check", "../data/tiny")
    refused(ended, message)
    assert ended.err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description = \n", "tiny.toml:1: not TOML"),
        (TASK + "colour = 1\n", "tiny.toml:6: unknown key 'colour'"),
        (TASK + 'main_metric = "accuracy"\n', "accuracy"),
    ],
)
def test_a_bad_task_file_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, text: str, message: str
) -> None:
    add_task(tmp_path, "tiny", text)
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), message)


def test_data_check_prints_what_a_folder_holds(run: Run) -> None:
    ended = run("data", "check", "../data/tiny")
    assert (ended.status, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == "../data/tiny: 3 documents (1 empty, 0 duplicates)"
    assert second.startswith("test: 1 queries, 2 judgments, sha256 ")


def test_data_check_records_the_hash_in_the_task_that_eval_then_compares(run: Run, tmp_path: Path) -> None:
    ended = run("data", "check", "../data/tiny", "--record", "--tasks-dir", "../tasks")
    assert ended.status == 0
    sha256 = ended.out.splitlines()[1].split()[-1]
    assert f'sha256 = "{sha256}"' in (tmp_path / "tasks" / "zoo" / "tiny.toml").read_text()
    evaluate(run, "-m", "bm25", "-t", "zoo")
    assert find_results(Path("out"))[0].data_matches_task is True


# leaderboard


@pytest.fixture
def board(run: Run) -> Path:
    """A page made from a result that, like a committed one, comes from a clean checkout."""
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (path,) = Path("out").rglob("tiny.json")
    result = json.loads(path.read_text())
    result["provenance"] |= {"dirty": False, "commit": "0" * 40}
    path.write_text(json.dumps(result))
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks")
    assert (ended.status, ended.out) == (0, "out/zoo/README.md\n")
    return Path("out/zoo/README.md")


def test_a_page_is_rendered_and_proves_itself(run: Run, board: Path) -> None:
    assert "bm25" in board.read_text()
    assert "[1.000](bm25/" in board.read_text()
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert ended == Ended(0, "", "")


def test_a_forged_page_fails_the_check_with_status_3(run: Run, board: Path) -> None:
    board.write_text(board.read_text().replace("bm25", "best"))
    forged = board.read_bytes()
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert (ended.status, ended.err) == (3, "")
    assert "README.md: not the page of these results" in ended.out
    assert board.read_bytes() == forged


def test_a_forged_score_fails_the_check_though_the_page_is_rendered_from_it(run: Run, board: Path) -> None:
    (path,) = Path("out").rglob("tiny.json")
    result = json.loads(path.read_text())
    result["scores"]["ndcg_at_10"] = 0.5
    path.write_text(json.dumps(result))
    run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks")
    ended = run("leaderboard", "zoo", "--output", "out", "--tasks-dir", "../tasks", "--check")
    assert ended.status == 3
    assert "the scores are not the means of the query scores" in ended.out


def test_a_board_without_results_is_refused(run: Run) -> None:
    refused(run("leaderboard", "zoo", "--output", "out"), "unknown benchmark with results in out 'zoo'")


# train-retriever, train-tokenizer


def write_pairs(path: Path, count: int = 40) -> Path:
    things = ["wing", "plate", "flow", "jet", "shock"]
    lines = [
        {"query": f"what is {things[i % 5]} {i}", "positive": f"{things[i % 5]} number {i} is a thing"}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_retriever_is_trained_on_pairs_and_evaluated_by_its_folder(run: Run, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "things.jsonl")
    training = ("--batch-size", 8, "--max-steps", 2, "--max-length", 12, "--dev-pairs", 0, "--seed", 1)
    ended = run(
        "train-retriever", "tiny", "--pairs", pairs, "-o", "model", "--licence", "things=CC0-1.0", *training
    )
    assert (ended.status, ended.out) == (0, "model\n"), ended.err
    record = json.loads(Path("model/mixbench.json").read_text())
    assert (record["steps"], record["seed"], record["training_sources"]) == (2, 1, ["things"])
    assert record["command"] == (
        "mixbench train-retriever tiny --pairs things.jsonl -o model --licence things=CC0-1.0"
        " --batch-size 8 --max-steps 2 --max-length 12 --dev-pairs 0 --seed 1"
    )
    assert record["sources"][0]["licence"] == "CC0-1.0"
    assert "things" in Path("model/README.md").read_text()
    ended = evaluate(run, "-m", "model", "-t", "zoo")
    assert ended.status == 0, ended.err
    (result,) = find_results(Path("out"))
    assert (result.model, result.training_sources, result.costs.parameters) == (
        "model",
        ("things",),
        6_563_840,
    )
    ended = run("train-retriever", "tiny", "--pairs", pairs, "-o", "model", *training)
    assert (ended.status, ended.out) == (1, "")
    assert "model: exists already" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny"], "nothing to train on"),
        (["tinny", "--pairs", "../p.jsonl"], "tinny"),
        (["tiny", "--pairs", "absent.jsonl"], "absent.jsonl: "),
        (["tiny", "--pairs", "../p.jsonl:heavy"], "heavy"),
        (["tiny", "--pairs", "../p.jsonl", "--exclude-task", "zoo/no"], "unknown task or benchmark 'zoo/no'"),
        (["tiny", "--pairs", "../p.jsonl", "--temperature", "0"], "temperature"),
        (["tiny", "--pairs", "../bad.jsonl"], "bad.jsonl:2: "),
        (["tiny", "--task", "zoo/tiny"], "train"),
    ],
)
def test_training_that_cannot_be_done_is_one_line_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_pairs(tmp_path / "p.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "positive": "b"}\n{"query": "a"}\n')
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    refused(run("train-retriever", *arguments, *places, "-o", "out"), message)
    assert list(Path().iterdir()) == []


def test_training_on_more_tokens_than_the_context_is_one_line(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    options = ("--max-steps", 1, "--batch-size", 8, "--dev-pairs", 0, "--max-length", 9999)
    refused(run("train-retriever", "tiny", "--pairs", "../p.jsonl", "-o", "out", *options), "9999")


def test_a_licence_of_no_source_is_refused(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    options = ("--max-steps", 1, "--batch-size", 8, "--dev-pairs", 0, "--licence", "q=MIT")
    refused(run("train-retriever", "tiny", "--pairs", "../p.jsonl", "-o", "out", *options), "'q'")


def test_a_tokenizer_is_trained_from_pairs_and_text(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    (tmp_path / "t.txt").write_text("a line of text\n" * 5)
    ended = run(
        "train-tokenizer", "t.json", "--pairs", "../p.jsonl", "--text", "../t.txt", "--vocabulary", 300
    )
    assert (ended.status, ended.out) == (0, "t.json\n")
    assert len(json.loads(Path("t.json").read_text())["model"]["vocab"]) == 300
    Path("t.json").unlink()
    refused(run("train-tokenizer", "t.json"), "nothing to train a tokenizer on: give --pairs or --text")
    assert list(Path().iterdir()) == []


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


def test_data_qrels_prints_judgments_that_stand_for_beirs_own(run: Run, tmp_path: Path) -> None:
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    ended = run("data", "qrels", "zoo/tiny", *places)
    assert (ended.status, ended.out, ended.err) == (0, "q1 0 d1 2\nq1 0 d2 -1\n", "")
    evaluate(run, "-m", "bm25", "-t", "zoo")
    (before,) = find_results(Path("out"))
    (tmp_path / "data" / "tiny" / QREL).unlink()
    (tmp_path / "data" / "tiny" / "qrels" / "test.trec").write_text(ended.out)
    assert run("data", "qrels", "zoo/tiny", *places).out == ended.out
    evaluate(run, "-m", "bm25", "-t", "zoo", "--overwrite")
    (after,) = find_results(Path("out"))
    assert (after.data_sha256, after.scores) == (before.data_sha256, before.scores)
    refused_split = run("data", "qrels", "zoo/tiny", *places, "--split", "dev")
    assert (refused_split.status, refused_split.out) == (1, "")
    assert "no judgments of split 'dev'; splits here: test" in refused_split.err


def test_trec_judgments_of_a_beir_folder_are_checked_like_its_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data" / "tiny" / "qrels" / "test.trec"
    path.write_text("q1 0 d1 1\n")
    refused(evaluate(run, "-m", "bm25", "-t", "zoo"), "test.trec: the split has judgments in test.tsv too")
    (tmp_path / "data" / "tiny" / QREL).unlink()
    for line, part in {
        "q1 0 d9 1": "'d9' is not in corpus.jsonl",
        "q1 0 d1 yes": "'yes' is not an int",
    }.items():
        path.write_text(f"q1 0 d2 1\n{line}\n")
        refused(evaluate(run, "-m", "bm25", "-t", "zoo"), f"{path.name}:2: ", part)
