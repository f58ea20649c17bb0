"""Collections at the edge of what is one, evaluated from the command line by words and by embeddings."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Run, evaluate, refused
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny_data import json_lines
from tokenizers import Tokenizer, models, pre_tokenizers

from mixbench.results import Result, find_results

SCRIPTS = {
    "right to left": "שלום עולם",
    "Arabic with marks": "مَرْحَبًا بِالعَالَم",
    "mixed scripts": "mix 混合 שלום смесь 😀",
    "Thai, without spaces": "สวัสดีชาวโลก",
    "a family of one emoji": "👩‍👩‍👧‍👦 family",
    "marks upon marks": "e" + "\u0301" * 500 + " zalgo",
    "an override of direction": "\u202eevil\u202c word",
    "no letter at all": "!!! ... ???",
    "control characters": "a\u0000b \u0007 \u001b[2J",
}


def words(folder: Path, vectors: dict[str, list[float]]) -> None:
    """Save an encoder whose embedding of a text is the mean of its words' vectors."""
    vocabulary = {word: place for place, word in enumerate(["[UNK]", *vectors])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.array([[0.0] * len(next(iter(vectors.values()))), *vectors.values()], dtype=np.float32)
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)],
        device="cpu",
        similarity_fn_name="cosine",
    )
    model.save_pretrained(str(folder), create_model_card=False)


@pytest.fixture
def of(run: Run, tmp_path: Path):
    """Return what evaluates models on documents and queries, of which the first is relevant to the first."""

    def call(documents: list[str], queries: list[str], *options: object, relevant: str = "d0") -> Any:
        folder = tmp_path / "data" / "tiny"
        rows = [{"_id": f"d{number}", "text": text} for number, text in enumerate(documents)]
        (folder / "corpus.jsonl").write_text(json_lines(rows), encoding="utf-8")
        rows = [{"_id": f"q{number}", "text": text} for number, text in enumerate(queries)]
        (folder / "queries.jsonl").write_text(json_lines(rows), encoding="utf-8")
        judged = f"query-id\tcorpus-id\tscore\nq0\t{relevant}\t1\n"
        (folder / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")
        return evaluate(run, "-t", "zoo", *options)

    return call


def scores() -> dict[str, Result]:
    return {each.model: each for each in find_results(Path("out"))}


def test_one_document_is_found_by_everything_and_fewer_than_are_asked_for_are_given(of) -> None:
    ended = of(["a mixer mixes"], ["mixer"], "-m", "bm25", "-m", "mixer-tiny", "-m", "rrf:bm25,tiny")
    assert ended.status == 0, ended.err
    assert {name: each.scores.ndcg_at_10 for name, each in scores().items()} == {
        "bm25": 1.0, "mixer-tiny": 1.0, "rrf-bm25+untrained-tiny": 1.0,
    }  # fmt: skip
    assert len(next(Path("out").rglob("tiny.trec")).read_text().splitlines()) == 1


def test_no_query_is_said_by_file_and_line(of) -> None:
    refused(of(["a mixer mixes"], [], "-m", "bm25"), "test.tsv:2: query 'q0' is not in queries.jsonl")


def test_documents_of_the_same_text_rank_by_descending_id(of) -> None:
    same = ["a mixer mixes"] * 12
    for model, name in (("bm25", "bm25"), ("mixer-tiny", "mixer-tiny")):
        ended = of(same, ["mixer"], "-m", model, "--overwrite", relevant="d9")
        assert ended.status == 0, ended.err
        run = next(Path("out").rglob(f"{name}/*/runs/tiny.trec")).read_text().splitlines()
        assert [line.split()[2] for line in run[:3]] == ["d9", "d8", "d7"]
        assert len({line.split()[4] for line in run}) == 1


def test_an_empty_query_of_words_that_no_document_has_scores_zero(of) -> None:
    assert of(["a mixer mixes"], ["absent"], "-m", "bm25").status == 0
    result = scores()["bm25"]
    assert (result.scores.ndcg_at_10, result.empty_rankings) == (0.0, 1)


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_text_of_any_script_finds_itself(of, text: str) -> None:
    ended = of([text, "other words altogether", "and more"], [text], "-m", "mixer-tiny", "-m", "bm25")
    assert ended.status == 0, ended.err
    assert scores()["mixer-tiny"].scores.ndcg_at_10 == 1.0
    assert scores()["bm25"].scores.ndcg_at_10 == (0.0 if text == "!!! ... ???" else 1.0)


def test_a_document_of_half_a_million_characters_is_read(of) -> None:
    ended = of(["mixer " + "word " * 100_000, "other"], ["mixer"], "-m", "bm25", "-m", "mixer-tiny")
    assert ended.status == 0, ended.err
    assert scores()["bm25"].scores.ndcg_at_10 == 1.0
    assert scores()["mixer-tiny"].truncated_share == 0.5


def test_a_vector_of_zeros_scores_zero_and_is_ranked(of, tmp_path: Path) -> None:
    words(tmp_path / "model", {"one": [1.0, 0.0], "two": [0.0, 1.0]})
    ended = of(["unknown", "one", "two"], ["one"], "-m", "../model", relevant="d1")
    assert ended.status == 0, ended.err
    run = next(Path("out").rglob("tiny.trec")).read_text().split()
    assert (run[2::6], run[4::6]) == (["d1", "d2", "d0"], ["1", "0", "0"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", ["document 'd1'", "query 'bad'"])
def test_an_embedding_that_is_no_number_names_its_text_and_nothing_is_written(
    of, tmp_path: Path, value: float, place: str
) -> None:
    words(tmp_path / "model", {"good": [1.0, 0.0], "bad": [value, 1.0]})
    texts = (["good", "bad"], ["good"]) if place.startswith("document") else (["good", "good"], ["bad"])
    told = f"the embedding of {place} has NaN or infinite values, which cannot be ranked; check the weights"
    refused(of(*texts, "-m", "../model"), told)


SMALL = """
import resource, sys
sys.argv = ["mixbench", *sys.argv[1:]]
from mixbench.cli import main
try:
    main()
finally:
    sys.stderr.write(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
"""


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "qrels/test.trec"])
def test_a_line_of_200_mb_is_refused_before_it_is_held(run: Run, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "data" / "tiny"
    if file.endswith(".trec"):
        (folder / "qrels" / "test.tsv").unlink()
    with (folder / file).open("wb") as stream:
        stream.truncate(200_000_000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-c", SMALL, "data", "check", str(folder)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told, peak = done.stderr.splitlines()
    assert told.endswith(f"/{file}:1: a line of more than 16 MiB; divide it into shorter ones")
    assert int(peak.split()[1]) < max(150_000, before)


def test_json_of_results_stays_json_whatever_the_texts_are(of) -> None:
    ended = of(list(SCRIPTS.values()), [SCRIPTS["control characters"]], "-m", "bm25", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)[0]["scores"]["ndcg_at_10"] >= 0


def test_a_text_that_would_command_the_terminal_is_shown_as_letters(of, run: Run, tmp_path: Path) -> None:
    of(["mixer \u001b[2J cleared \u0007"], ["mixer \u001b[1m"], "-m", "bm25")
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    shown = run("search", "bm25", "q0", "-t", "tiny", *places).out
    assert "mixer \\x1b[2J" in shown
    assert "\x1b" not in shown
    assert shown.startswith("bm25 on zoo/tiny: mixer \\x1b[1m\n")
    task = tmp_path / "tasks" / "zoo" / "tiny.toml"
    task.write_text(task.read_text().replace("Three", "\\u001b[31m"))
    assert "\\x1b[31m" in run("list", "tasks", "--tasks-dir", "../tasks").out
