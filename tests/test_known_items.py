"""Known items: from a task or pairs to figures of any model, by the verbs `pools` and `match`."""

import json
import math
from pathlib import Path

import pytest
import torch
from command import TASK, Ended, Run, add_task, refused
from tiny_data import json_lines

from mixbench.data import Document
from mixbench.errors import InputError
from mixbench.experiments.estimates import estimates
from mixbench.experiments.evaluating import Places
from mixbench.experiments.item_scorers import embed, open_for
from mixbench.experiments.known_items import items_of_pairs, items_of_task
from mixbench.experiments.matching import embedded_parts, run_matching
from mixbench.experiments.systems import EncoderOptions
from mixbench.probes.matcher_training import MatcherSettings

PLACES = ("--tasks-dir", "../tasks", "--data-dir", "../data")


def write_pairs(count: int = 40) -> Path:
    """Write pairs that share the word of their number alone."""
    path = Path("words.jsonl")
    pairs = [{"query": f"about w{i}", "positive": f"w{i} and other words"} for i in range(count)]
    path.write_text(json_lines(pairs))
    return path


# Items


@pytest.mark.usefixtures("run")
def test_a_task_gives_its_corpus_and_the_queries_of_one_relevant_document() -> None:
    with Path("../data/tiny/qrels/test.tsv").open("a") as judgments:
        judgments.write("q3\td1\t1\nq3\td3\t1\n")
    items = items_of_task("zoo/tiny", Places(tasks_dir=Path("../tasks"), data_dir=Path("../data")))
    assert [document.doc_id for document in items.documents] == ["d3", "d2", "d1"]
    assert (items.queries, items.positives.tolist()) == ({"q1": "what mixes"}, [2])
    assert items.left_out == 1  # q3 has two relevant documents
    assert len(items.sha256) == 64


@pytest.mark.usefixtures("run")
def test_pairs_give_each_text_once_and_leave_out_queries_of_several_documents() -> None:
    pairs = [("a", "x"), ("b", "X "), ("A", "x"), ("c", "y"), ("c", "z"), ("d", "z")]
    Path("some.jsonl").write_text(json_lines([{"query": q, "positive": p} for q, p in pairs]))
    items = items_of_pairs(Path("some.jsonl"))
    assert items.documents == [Document(f"{n:08}", "", text) for n, text in ((4, "z"), (3, "y"), (0, "x"))]
    assert list(items.queries.values()) == ["a", "b", "d"]
    assert items.positives.tolist() == [2, 2, 0]
    assert (items.name, items.left_out) == ("some", 1)


@pytest.mark.usefixtures("run")
def test_what_a_model_was_trained_on_is_known_by_the_task_and_by_the_name_of_a_file() -> None:
    places = Places(tasks_dir=Path("../tasks"), data_dir=Path("../data"))
    Path("../tasks/zoo/tiny.toml").write_text(TASK + 'in_domain = ["animals"]\n')
    assert items_of_task("tiny", places).in_domain(["plants", "animals"]) == ["animals"]
    assert items_of_pairs(write_pairs()).in_domain(["Words", "animals"]) == ["Words"]
    assert items_of_pairs(write_pairs()).in_domain(None) == []


def test_a_model_that_was_trained_on_the_data_is_marked(run: Run) -> None:
    Path("squad.jsonl").write_text(write_pairs().read_text())
    for verb, size in (("pools", "--pool"), ("match", "--sets")):
        more = ("--matcher", "cosine") if verb == "match" else ()
        marked = run(verb, "-m", "mixer-tiny", "--pairs", "squad.jsonl", size, 5, *more)
        plain = run(verb, "-m", "mixer-tiny", "--pairs", "words.jsonl", size, 5, *more)
        assert "mixer-tiny† on squad" in marked.out
        assert "† trained on SQuAD, squad" in marked.out  # by its teacher, and by itself
        assert "mixer-tiny on words" in plain.out
        assert "†" not in plain.out


@pytest.mark.usefixtures("run")
def test_a_limit_takes_so_many_pairs_by_the_seed() -> None:
    path = write_pairs()
    some, same, other = (items_of_pairs(path, limit=10, seed=seed).queries for seed in (0, 0, 1))
    assert len(some) == 10
    assert some == same != other
    assert len(items_of_pairs(path, limit=400).queries) == 40


def test_queries_of_one_document_are_drawn_together() -> None:
    known = torch.tensor([1.0] * 10 + [0.0] * 10).double().numpy()
    clusters = torch.tensor([0] * 10 + [1] * 10).numpy()
    apart = estimates({"top1": known}, torch.arange(20).numpy())["top1"]
    together = estimates({"top1": known}, clusters)["top1"]
    assert apart.mean == together.mean == 0.5
    assert 0.2 < apart.low < apart.high < 0.8
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.shown(1) == "0.5 (0.3 to 0.7)"


@pytest.mark.usefixtures("run")
def test_what_has_no_embedding_is_refused_where_embeddings_are_wanted() -> None:
    items = items_of_pairs(write_pairs())
    bm25 = open_for("bm25", items, Places(), EncoderOptions())
    with pytest.raises(InputError, match="model 'bm25' has no embedding for a text; give an encoder"):
        embed(bm25, items)


# pools


def test_pools_of_bm25_are_written_with_their_intervals_and_provenance(run: Run) -> None:
    path = write_pairs()
    ended = run(
        "pools", "-m", "bm25", "--pairs", path, "--pool", 8, "--pool", 41, "--seeds", 2, "-o", "p.json"
    )
    assert ended.status == 0, ended.err
    assert "bm25 on words: top-1 accuracy" in ended.out
    assert "40 queries, 40 documents, 0 queries left out" in ended.out
    told = json.loads(Path("p.json").read_text())
    one = {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert told["pools"] == [{"n": n, "exact": one, "drawn": one, "by_seed": [1.0, 1.0]} for n in (8, 41)]
    assert told["all_documents"] == {"top1": one, "mrr_at_10": one, "ndcg_at_10": one}
    assert told["provenance"]["command"].startswith("mixbench pools -m bm25 --pairs words.jsonl --pool 8")
    assert len(told["provenance"]["source_sha256"]) == 64


def test_pools_of_a_task_agree_with_eval(run: Run) -> None:
    evaluated = run("eval", *PLACES, "-m", "tiny", "-t", "zoo", "--output", "out", "--json")
    ended = run("pools", *PLACES, "-m", "tiny", "-t", "tiny", "--json")
    (result,), told = json.loads(evaluated.out), json.loads(ended.out)
    assert (told["model"], told["revision"]) == (result["model"], result["revision"])
    assert (told["data"], told["data_sha256"]) == ("zoo/tiny", result["data_sha256"])
    assert told["all_documents"]["ndcg_at_10"]["mean"] == result["scores"]["ndcg_at_10"]
    assert [row["n"] for row in told["pools"]] == [4]  # all documents, where the paper's sizes are too large


def test_signs_change_what_an_encoder_finds_and_are_said(run: Run) -> None:
    path = Path("alike.jsonl")
    alike = [{"query": f"w{i}", "positive": f"w{i - 1} w{i} w{i + 1} and words"} for i in range(40)]
    path.write_text(json_lines(alike))
    plain, signs = (
        json.loads(run("pools", "-m", "tiny", "--pairs", path, "--pool", 20, "--json", *more).out)
        for more in ((), ("--signs",))
    )
    assert (plain["signs"], signs["signs"]) == (False, True)
    assert plain["revision"] == signs["revision"]
    assert plain["pools"][0]["exact"] != signs["pools"][0]["exact"]


# match


def match(run: Run, *arguments: object) -> Ended:
    small = ("--sets", 4, "--depth", 1, "--epochs", 2, "--sets-at-once", 8, "--warmup-steps", 0)
    return run("match", "-m", "tiny", *small, *arguments)


def test_match_trains_and_scores_each_matcher_on_documents_of_its_own(run: Run) -> None:
    path = write_pairs()
    ended = match(run, "--pairs", path, "--sets", 5, "-o", "m.json", "--json")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told == json.loads(Path("m.json").read_text())
    assert told["documents"] == told["queries"] == {"train": 28, "dev": 4, "test": 8}
    assert [(row["rows"], row["matcher"]) for row in told["rows"]] == [
        (m, name) for m in (4, 5) for name in ("mixer", "equivariant", "cosine")
    ]
    d = 256
    assert told["rows"][0]["parameters"] == 8 * d * d + 9 * d + 4 * 4 + 4 + d + 1
    assert [len(row["training"]["curve"]) for row in told["rows"][:2]] == [2, 2]
    assert (told["rows"][2]["training"], told["rows"][2]["parameters"]) == (None, 0)
    assert told["settings"]["learning_rate"] == 1e-4
    assert "mixer m=4: epoch 2, train" in ended.err
    for row in told["rows"]:
        for estimate in (*row["sets"].values(), *row["reranked"].values()):
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]


@pytest.mark.usefixtures("run")
def test_train_dev_and_test_share_no_document_and_queries_go_with_theirs() -> None:
    items = items_of_pairs(write_pairs())
    parts = embedded_parts(open_for("tiny-static", items, Places(), EncoderOptions()), items, (3,), seed=0)
    documents = torch.cat([pairs.documents for pairs in parts.values()])
    assert {part: len(pairs.documents) for part, pairs in parts.items()} == {"train": 28, "dev": 4, "test": 8}
    assert len(documents.unique(dim=0)) == 40
    for pairs in parts.values():
        matches = pairs.documents[pairs.positives]
        assert len(matches.unique(dim=0)) == len(pairs.queries) == len(pairs.documents)
        nearest = (pairs.queries @ pairs.documents.T).argmax(dim=1)  # the shared word tells
        assert (nearest == pairs.positives).float().mean() > 0.7
        assert pairs.documents.square().mean().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.usefixtures("run")
def test_standardised_embeddings_are_those_of_train_at_mean_0_and_deviation_1() -> None:
    items = items_of_pairs(write_pairs())
    retriever = open_for("tiny-static", items, Places(), EncoderOptions())
    plain = embedded_parts(retriever, items, (3,), seed=0)
    parts = embedded_parts(retriever, items, (3,), seed=0, standardise=True)
    deviation_d, mean_d = torch.std_mean(plain["train"].documents, dim=0, correction=0)
    for part, pairs in parts.items():
        for name in ("queries", "documents"):
            expected = (getattr(plain[part], name) - mean_d) / deviation_d
            torch.testing.assert_close(getattr(pairs, name), expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(pairs.positives, plain[part].positives)


def test_match_standardises_and_computes_as_it_is_asked_to(run: Run) -> None:
    def told(*options: str) -> dict:
        return json.loads(match(run, "--pairs", path, "--matcher", "mixer", "--json", *options).out)

    path = write_pairs()
    asked = [told(), told("--standardise"), told("--precision", "bf16")]
    assert [each["settings"]["standardise"] for each in asked] == [False, True, False]
    assert [each["settings"]["precision"] for each in asked] == ["fp32", "fp32", "bf16"]
    curves = [str(each["rows"][0]["training"]["curve"]) for each in asked]
    assert len(set(curves)) == 3


def test_match_prints_a_table_with_the_cross_entropy_of_chance(run: Run) -> None:
    ended = match(run, "--pairs", write_pairs(), "--matcher", "cosine", "--matcher", "l2")
    assert ended.status == 0, ended.err
    assert f"{math.log(3):.3f}" in ended.out
    assert "train: 28 queries, 28 documents, dev: 4 queries" in ended.out


@pytest.mark.usefixtures("run")
def test_the_untrained_matchers_read_what_the_encoder_says() -> None:
    settings = MatcherSettings(epochs=1)
    items = items_of_pairs(write_pairs(80))
    report = run_matching(
        "tiny-static",
        items,
        Places(),
        EncoderOptions(),
        settings=settings,
        rows=(3,),
        matchers=("cosine", "l2"),
    )
    # Unit-length embeddings: what is near by distance is near by cosine.
    cosine, l2 = report.rows
    assert cosine.sets["top1"] == l2.sets["top1"]
    assert cosine.reranked == l2.reranked
    assert cosine.sets["top1"].mean > 0.8


# What cannot be


def test_what_cannot_be_is_one_line(run: Run, tmp_path: Path) -> None:
    path = write_pairs()
    refused(run("pools", "-m", "bm25"), "give one source of known items: --task NAME or --pairs FILE")
    refused(run("pools", "-m", "bm25", "-t", "tiny", "--pairs", path), "give one source of known items")
    refused(
        run("pools", *PLACES, "-m", "bm25", "-t", "tiny", "--limit", 5), "--limit takes some pairs of a file"
    )
    refused(
        run("pools", "-m", "bm25", "--pairs", path, "--pool", 42), "a pool of 42", "give a size from 3 to 41"
    )
    refused(run("pools", "-m", "bm25", "--pairs", path, "--signs"), "'bm25' has no embedding for a text")
    refused(run("pools", "-m", "bm52", "--pairs", path), "unknown model 'bm52'; did you mean 'bm25'")
    add_task(tmp_path, "other", TASK)
    refused(run("pools", *PLACES, "-m", "bm25", "-t", "zoo"), "'zoo' is 2 tasks", "give one")
    refused(
        match(run, "--pairs", path, "--matcher", "mixed"), "unknown matcher 'mixed'; did you mean 'mixer'"
    )
    refused(match(run, "--pairs", path, "--sets", 6), "a set of 6 rows wants 5 candidates of 4 documents")
    refused(match(run, "--pairs", path, "--precision", "fp8"), "unknown precision 'fp8'")
    refused(match(run, "--pairs", path, "--device", "nonsense"), "nonsense")


def test_a_file_whose_queries_all_have_several_documents_is_refused(run: Run) -> None:
    pairs = [{"query": "q", "positive": text} for text in ("x", "y")]
    Path("many.jsonl").write_text(json_lines(pairs))
    refused(
        run("pools", "-m", "bm25", "--pairs", "many.jsonl"),
        "many: no query has exactly one relevant document",
    )


def test_a_part_without_a_query_is_refused(run: Run) -> None:
    pairs = [{"query": "one", "positive": f"text {i}"} for i in range(40)] + [
        {"query": "two", "positive": "text 1"}
    ]
    Path("few.jsonl").write_text(json_lines(pairs))
    refused(
        match(run, "--pairs", "few.jsonl"), "few: no query looks for a document of its", "give more pairs"
    )


def test_both_verbs_have_help_and_every_option_says_what_it_does(run: Run) -> None:
    for verb in ("pools", "match"):
        ended = run(verb, "--help")
        assert (ended.status, ended.err) == (0, "")
        assert f"Usage: mixbench {verb}" in ended.out
        options = [line.split("  ") for line in ended.out.splitlines() if line.startswith("  -")]
        assert all(len(parts) > 2 for parts in options if "--help" not in parts)
