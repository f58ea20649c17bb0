"""TREC runs and judgments, in and out: byte for byte, repaired aloud, or refused by file and line."""

import gzip
import lzma
from pathlib import Path

import ir_measures
import pytest
from ir_measures import AP, RR, Measure, P, R, nDCG

from mixbench import BM25, load_data, load_task
from mixbench.errors import InputError
from mixbench.evaluation import Evaluation, evaluate
from mixbench.experiments.judgments import task_qrels
from mixbench.interop.trec import read_qrels, read_run, write_qrels, write_run
from mixbench.retrievers.run import RunRetriever


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    task = load_task("quickstart/stdlib-code")
    return evaluate(BM25(), task, load_data(task), command="from Python")


def silent(message: str) -> None:
    raise AssertionError(f"nothing should be said, but: {message}")


def read(tmp_path: Path, *lines: str) -> tuple[dict[str, list[tuple[str, float]]], list[str]]:
    """Return the rankings of a run of these lines, and what was said without the path."""
    path = tmp_path / "a.trec"
    path.write_text("".join(f"{line}\n" for line in lines))
    said: list[str] = []
    rankings = dict(read_run(path, said.append).rankings)
    assert all(line.startswith(f"{path}: ") for line in said)
    return rankings, [line.removeprefix(f"{path}: ") for line in said]


def test_a_run_that_mixbench_wrote_is_read_and_written_again_byte_for_byte(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "a.trec"
    path.write_text(write_run(evaluation.rankings, "org/bm25"))
    run = read_run(path, silent)
    assert run.tag == "org/bm25"
    assert write_run(run.rankings, run.tag).encode() == path.read_bytes()
    assert len(path.read_bytes().splitlines()) > 10_000


def test_judgments_are_read_and_written_again_byte_for_byte(tmp_path: Path) -> None:
    text = task_qrels("quickstart/stdlib-code", "train") + "q 0 not-relevant 0\nq 0 spam -2\n"
    path = tmp_path / "qrels"
    path.write_text(text)
    assert write_qrels(read_qrels(path)) == text


def test_an_evaluated_run_has_the_figures_and_the_bytes_of_the_system_that_it_was_made_by(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "a.trec"
    path.write_text(write_run(evaluation.rankings, "bm25"))
    task = load_task("quickstart/stdlib-code")
    again = evaluate(RunRetriever(read_run(path, silent), name="run-a"), task, load_data(task), command="")
    assert again.query_scores == evaluation.query_scores
    assert (again.result.scores, again.result.model) == (evaluation.result.scores, "run-a")
    assert write_run(again.rankings, again.tag).encode() == path.read_bytes()


def test_ir_measures_reads_our_run_and_qrels_and_finds_our_figures(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    (tmp_path / "qrels").write_text(task_qrels("quickstart/stdlib-code"))

    def measured(depth: int, *measures: Measure) -> dict[Measure, float]:
        cut = {query_id: ranking[:depth] for query_id, ranking in evaluation.rankings.items()}
        (tmp_path / "run").write_text(write_run(cut, "bm25"))
        qrels = ir_measures.read_trec_qrels(str(tmp_path / "qrels"))
        return dict(
            ir_measures.calc_aggregate(measures, qrels, ir_measures.read_trec_run(str(tmp_path / "run")))
        )

    ours = evaluation.result.scores
    assert evaluation.result.empty_rankings == 1  # a zero to both
    found = measured(100, nDCG @ 10, AP @ 100, R @ 100, P @ 10)
    expected = {nDCG @ 10: ours.ndcg_at_10, AP @ 100: ours.map_at_100}
    expected |= {R @ 100: ours.recall_at_100, P @ 10: ours.precision_at_10}
    assert found == pytest.approx(expected, abs=1e-6)  # query scores are rounded to six decimals
    # RR is trec_eval's, RR @ 10 is MS MARCO's, which ranks equal scores by ascending id: so the run is cut.
    assert measured(10, RR)[RR] == pytest.approx(ours.mrr_at_10, abs=1e-6)
    assert 0.2 < found[nDCG @ 10] < 0.3


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files_are_read_like_plain_ones(tmp_path: Path, suffix: str, compress: object) -> None:
    assert callable(compress)
    path = tmp_path / f"a.trec{suffix}"
    path.write_bytes(compress(b"q Q0 d 1 0.5 tag\n"))
    assert read_run(path, silent).rankings == {"q": [("d", 0.5)]}
    path.write_bytes(compress(b"q 0 d 1\n"))
    assert read_qrels(path) == {"q": {"d": 1}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q Q0 d 2 nan t", "score 'nan' is no finite float32 number"),
        ("q Q0 d 2 -inf t", "score '-inf' is no finite"),
        ("q Q0 d 2 1e39 t", "score '1e39' is no finite"),
        ("q Q0 d 2 1_0 t", "score '1_0' is no finite"),
        ("q Q0 d 2 high t", "score 'high' is no finite"),
        ("q Q0 d x 1.0 t", "rank 'x' is not an integer"),
        ("q Q0 e 2 1.0 t", "document 'e' is listed twice for query 'q'; keep one line"),
        ("q d 1 0.5", "4 fields in 'q d 1 0.5'; write 'query_id Q0 doc_id rank score tag'"),
        ("q Q0 a b 2 1.0 t", "7 fields"),
    ],
)
def test_a_line_without_one_meaning_is_refused_by_file_and_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "q Q0 e 1 2.0 t", "", line)
    assert str(caught.value).startswith(f"{tmp_path / 'a.trec'}:3: {problem}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q 0 d 0.5", "relevance '0.5' is not an integer"),
        ("q 0 e 0", "query 'q' and document 'e' are judged twice"),
        ("q e 1", "3 fields in 'q e 1'; write 'query_id 0 doc_id relevance'"),
    ],
)
def test_a_judgment_that_cannot_be_used_is_refused_by_file_and_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = tmp_path / "qrels"
    path.write_text(f"q 0 e 1\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_qrels(path)
    assert str(caught.value).startswith(f"{path}:2: {problem}")


def test_a_file_without_any_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InputError, match="holds no ranking"):
        read_run(tmp_path / "empty", silent)
    with pytest.raises(InputError, match="holds no judgment"):
        read_qrels(tmp_path / "empty")


def test_ranks_that_disagree_with_scores_give_way_and_that_is_said(tmp_path: Path) -> None:
    rankings, said = read(
        tmp_path,
        "q Q0 a 1 0.1 t",
        "q Q0 b 2 0.9 t",
        "p Q0 a 1 5 t",
        "p Q0 b 2 4 t",
        "r Q0 a 1 1 t",
        "r Q0 b 2 1 t",
    )
    assert rankings["q"] == [("b", pytest.approx(0.9)), ("a", pytest.approx(0.1))]
    assert rankings["p"] == [("a", 5), ("b", 4)]
    assert rankings["r"] == [("b", 1), ("a", 1)]
    (line,) = said
    assert line.startswith("the ranks of 2 of 3 queries disagree with their scores; ranked by score")


def test_lines_in_another_order_than_their_ranks_are_no_disagreement(tmp_path: Path) -> None:
    assert read(tmp_path, "q Q0 b 2 1 t", "q Q0 a 1 2 t") == ({"q": [("a", 2), ("b", 1)]}, [])
    assert read(tmp_path, "q Q0 a 0 2 t", "q Q0 b 0 1 t")[1] == []


def test_scattered_lines_and_several_tags_are_gathered_and_that_is_said(tmp_path: Path) -> None:
    rankings, said = read(tmp_path, "q Q0 a 1 2 t", "p Q0 a 1 1 u", "q Q0 b 2 1 t")
    assert rankings == {"q": [("a", 2), ("b", 1)], "p": [("a", 1)]}
    assert said == [
        "the lines of 1 of 2 queries are not together; gathered",
        "2 tags; read as one run, called 't'",
    ]


@pytest.mark.parametrize("name", ["", "a b", "a\n"])
def test_an_id_that_no_line_can_hold_is_not_written(name: str) -> None:
    with pytest.raises(InputError, match="no empty name and no white space"):
        write_qrels({"q": {name: 1}})
    with pytest.raises(InputError, match="no empty name and no white space"):
        write_qrels({name: {"d": 1}})
