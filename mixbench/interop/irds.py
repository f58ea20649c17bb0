"""Collections of ir_datasets as plain structures. It downloads what is not there, when it is read."""

from importlib.util import find_spec
from typing import Any

from mixbench.errors import InputError, MissingData, UnknownName

Corpus = list[tuple[str, str, str]]
"""(doc_id, title, text) of each document."""
EXTRA = "pip install 'mixbench[ir-datasets]'"


def has_ir_datasets() -> bool:
    """Tell whether the package is installed; it is not imported."""
    return find_spec("ir_datasets") is not None


def check_dataset(dataset_id: str) -> None:
    """Raise UnknownName for an id that ir_datasets has not, InputError for one without judgments."""
    dataset = _load(dataset_id)
    lacking = [part for part in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{part}")()]
    if lacking:
        problem = f"{dataset_id!r} of ir_datasets has no {' and no '.join(lacking)}"
        raise InputError(f"{problem}; name a subset that has")


def load_retrieval(dataset_id: str) -> tuple[Corpus, dict[str, str], dict[str, dict[str, int]]]:
    """Return corpus, queries (query_id -> text) and judgments (query_id -> doc_id -> relevance).

    A document's title and text are its fields of these names; one without a field "text" has what
    ir_datasets calls its default text, which holds the title where there is one. So with queries. Only
    queries with a relevant document are kept; of a document judged twice for a query, the last judgment.
    Raises MissingData where something cannot be read or downloaded.
    """
    dataset = _load(dataset_id)
    try:
        corpus = [_document(document) for document in dataset.docs_iter()]
        texts = {query.query_id: _text(query) for query in dataset.queries_iter()}
        judged: dict[str, dict[str, int]] = {}
        for judgment in dataset.qrels_iter():
            judged.setdefault(judgment.query_id, {})[judgment.doc_id] = int(judgment.relevance)
    except Exception as error:  # the package raises whatever its many readers and downloads do
        reason = " ".join(str(error).split())[:200]
        raise MissingData(
            f"ir_datasets did not give {dataset_id!r} ({type(error).__name__}: {reason}); try again, or put a"
            " BEIR folder in --data-dir"
        ) from error
    qrels = {key: each for key, each in judged.items() if key in texts and max(each.values()) > 0}
    return corpus, {key: text for key, text in texts.items() if key in qrels}, qrels


def _load(dataset_id: str) -> Any:
    if not has_ir_datasets():
        raise MissingData(f"{dataset_id!r} of ir_datasets needs a package: {EXTRA}")
    import ir_datasets

    try:
        return ir_datasets.load(dataset_id)
    except KeyError:
        known = sorted(ir_datasets.registry)
        raise UnknownName.of("dataset of ir_datasets", dataset_id, known) from None


def _document(document: Any) -> tuple[str, str, str]:
    if hasattr(document, "text"):
        return document.doc_id, getattr(document, "title", "") or "", document.text or ""
    return document.doc_id, "", document.default_text() or ""


def _text(query: Any) -> str:
    return str(query.text if hasattr(query, "text") else query.default_text())
