"""mteb's own evaluation of an encoder on one of its tasks, with data that is given to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import mteb
from datasets import Dataset

from mixbench.interop.mteb.data import get_task


def score_by_mteb(
    model: Any,
    name: str,
    corpus: Sequence[tuple[str, str, str]],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    split: str = "test",
    batch_size: int = 32,
) -> dict[str, float]:
    """Return what `mteb.evaluate` says of `model` on its task `name`: "main_score" and "seconds".

    The corpus is (doc_id, title, text) rows. Nothing is read from mteb's cache of results. Scores have 5
    decimals; the seconds are mteb's own, of encoding, search and scoring. Raises UnknownName for the task.
    """

    class LocalTask(type(get_task(name))):  # type: ignore[misc]
        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            columns = zip(("id", "title", "text"), map(list, zip(*corpus, strict=True)), strict=True)
            asked = Dataset.from_dict({"id": list(queries), "text": list(queries.values())})
            judged = {query_id: dict(documents) for query_id, documents in qrels.items()}
            data = {"corpus": Dataset.from_dict(dict(columns)), "queries": asked, "relevant_docs": judged}
            self.dataset = {"default": {split: data | {"top_ranked": None}}}
            self.data_loaded = True

    found = mteb.evaluate(
        model,
        LocalTask().filter_eval_splits([split]),
        cache=None,
        show_progress_bar=False,
        encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
    )
    result = found.task_results[0]
    return {"main_score": float(result.get_score()), "seconds": float(result.evaluation_time or 0)}
