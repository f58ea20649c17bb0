"""The time of a query alone: measured after the batch, over some queries, never of a stored run."""

from collections.abc import Sequence

import pytest
from word_overlap import CORPUS, WordOverlap, make_data, make_task

from mixbench.data import RetrievalData
from mixbench.evaluation import evaluate
from mixbench.evaluation.latency import TIMED, percentile, time_queries
from mixbench.interop.trec import Run
from mixbench.results import Costs
from mixbench.retrievers import Ranking
from mixbench.retrievers.run import RunRetriever


class Counting(WordOverlap):
    """Remembers how many queries each search had."""

    def __init__(self) -> None:
        super().__init__()
        self.searches: list[int] = []

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        self.searches.append(len(queries))
        return super().search(queries, k)


def data_of(queries: int) -> RetrievalData:
    """The toy corpus with so many queries, each with one relevant document."""
    ids = [f"q{number}" for number in range(queries)]
    return RetrievalData(
        corpus=CORPUS,
        queries=dict.fromkeys(ids, "what moves the sea"),
        qrels={query_id: {"d1": 1} for query_id in ids},
        split="test",
        source="folder",
    )


def costs(retriever: WordOverlap | RunRetriever, data: RetrievalData) -> Costs:
    return evaluate(retriever, make_task(), [data], command="").result.costs


def test_queries_are_searched_alone_after_all_at_once() -> None:
    retriever = Counting()

    found = costs(retriever, data_of(120))

    assert retriever.searches == [120, *[1] * 41]  # every third, and one before that is not timed
    assert found.query_seconds_p50 is not None
    assert found.query_seconds_p95 is not None
    assert 0 < found.query_seconds_p50 <= found.query_seconds_p95


def test_at_most_so_many_queries_are_timed() -> None:
    retriever = Counting()
    retriever.index(CORPUS)

    assert len(time_queries(retriever, ["sea"] * 1_000, 10)) == TIMED
    assert len(time_queries(retriever, ["sea"] * 7, 10)) == 7


def test_few_queries_have_no_percentiles() -> None:
    found = costs(WordOverlap(), make_data())

    assert (found.query_seconds_p50, found.query_seconds_p95) == (None, None)


@pytest.mark.parametrize(("share", "time"), [(0.5, 20.0), (0.95, 38.0)])
def test_a_percentile_is_a_time_that_was_measured(share: float, time: float) -> None:
    assert percentile([float(number) for number in range(40, 0, -1)], share) == time


def test_looking_up_a_stored_run_is_not_timed() -> None:
    run = Run(rankings={f"q{number}": [("d1", 1.0)] for number in range(40)}, tag="them")

    assert costs(RunRetriever(run, name="theirs"), data_of(40)).query_seconds_p50 is None
