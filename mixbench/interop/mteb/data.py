"""Data and descriptions of mteb's retrieval tasks, as plain structures: at mteb's revision, as mteb reads it.

A task of several collections (mteb's aggregates, and the subsets of a multilingual task) is described with
`parts`, whose values name one collection each: "NAME", or "NAME:SUBSET".
"""

import re
from pathlib import Path
from typing import Any, cast

import mteb
from datasets import get_dataset_config_names, get_dataset_split_names
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from mixbench.errors import MissingData, MixbenchError, UnknownName

HTTP_ERROR = cast(type[Exception], HfHubHTTPError.__bases__[0])
"""The base of the errors of whichever HTTP library this version of the hub's client uses."""

HUB_ERRORS = (OSError, ValueError, RuntimeError, DatasetsError, HTTP_ERROR)
"""What a hub that fails, or a data set that is not there, raises."""

OPEN_LICENCES = re.compile(
    r"cc0-1\.0|cc-by(-sa)?-[\d.]+|apache-2\.0|mit|bsd-\d-clause|odc-by|cdla-(sharing|permissive)-[\d.]+"
)
"""Licences under which texts may be shown again in public, as mteb spells them."""

Corpus = list[tuple[str, str, str]]
"""(doc_id, title, text) of each document."""


def load_retrieval(name: str, split: str) -> tuple[Corpus, dict[str, str], dict[str, dict[str, int]]]:
    """Return corpus, queries (query_id -> text) and judgments (query_id -> doc_id -> relevance).

    Only queries with a relevant document are kept. Raises MissingData where the hub does not give all of it.
    """
    task_name, _, subset = name.partition(":")
    task = get_task(task_name)
    # Asked for a split that is not there, mteb takes the only one that is: test queries, to train on.
    if split not in task.metadata.eval_splits and split not in judged_splits(name):
        raise _missing(name, split, "no such split")
    if subset:
        task.filter_languages(None, hf_subsets=[subset])
    task.filter_eval_splits([split])
    try:
        task.load_data()
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    except HUB_ERRORS as error:
        raise _missing(name, split, _reason(error)) from error
    return _plain(task.dataset[subset or "default"][split])


def judged_splits(name: str) -> list[str]:
    """Return the splits that the hub has judgments of. Raises MissingData as `load_retrieval`."""
    task_name, _, subset = name.partition(":")
    dataset = get_task(task_name).metadata.dataset
    path, revision = dataset["path"], dataset["revision"]
    try:
        configs = get_dataset_config_names(path, revision=revision)
        wanted = [f"{subset}-qrels"] if subset else ["default", "qrels"]
        config = next((each for each in wanted if each in configs), None)
        return list(get_dataset_split_names(path, config, revision=revision)) if config else []
    except HUB_ERRORS as error:
        raise _missing(name, "any", _reason(error)) from error


def describe_task(name: str) -> dict[str, Any]:
    """Return the fields of a Task, less its name, for the task that mteb calls `name`.

    The evaluation split is "test" where there is one, else mteb's first. Raises UnknownName, and
    MixbenchError for a task that is not text retrieval.
    """
    task = get_task(name)
    metadata = task.metadata
    if metadata.type != "Retrieval" or list(metadata.modalities) != ["text"]:
        kind = f"{metadata.type} of {' and '.join(sorted(metadata.modalities))}"
        raise MixbenchError(f"{name!r} of mteb is {kind}; only retrieval of text can be evaluated")
    collections = task.tasks if task.is_aggregate else [task]
    parts = {part: part_name for each in collections for part, part_name in _parts(each)}
    return {
        "description": " ".join(metadata.description.split()),
        "mteb": metadata.name,
        "folder": metadata.name,
        "eval_split": "test" if "test" in metadata.eval_splits else metadata.eval_splits[0],
        "parts": parts if len(parts) > 1 or metadata.name not in parts.values() else {},
        "main_metric": metadata.main_score,
        "licence": metadata.license or "not specified",
        "redistribute": bool(OPEN_LICENCES.fullmatch(metadata.license or "")),
        "remove_identical": all(each.ignore_identical_ids for each in collections),
    }


def is_cached(name: str, cache: Path) -> bool:
    """Whether `cache`, the folder in which `datasets` keeps prepared data, has that of a collection."""
    path = get_task(name.partition(":")[0]).metadata.dataset["path"]
    wanted = _squeezed(path.replace("/", "___"))
    return any(_squeezed(each.name) == wanted for each in cache.iterdir())


def _missing(name: str, split: str, reason: str) -> MissingData:
    return MissingData(
        f"the hub gave no data for {name!r} of mteb, split {split!r} ({reason}); "
        "try again, or put a BEIR folder in --data-dir"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def get_task(name: str) -> Any:
    """Return the task that mteb calls `name`. Raises UnknownName where there is none."""
    try:
        return mteb.get_task(name)
    except KeyError:
        known = mteb.get_tasks(task_types=["Retrieval"], modalities=["text"], exclude_aggregate=False)
        raise UnknownName.of("mteb task", name, [task.metadata.name for task in known]) from None


def _parts(task: Any) -> list[tuple[str, str]]:
    name = task.metadata.name
    if not task.metadata.is_multilingual:
        return [(name, name)]
    return [(subset, f"{name}:{subset}") for subset in task.metadata.hf_subsets]


def _plain(data: Any) -> tuple[Corpus, dict[str, str], dict[str, dict[str, int]]]:
    """Turn mteb's data of one split into plain structures; a query's text gets its instruction as in mteb."""
    # Private to mteb, but the only place that says how a conversation or an instruction becomes a query.
    from mteb._create_dataloaders import _retrieval_texts
    from mteb.types import PromptType

    judged = data["relevant_docs"]
    qrels = {query_id: each for query_id, each in judged.items() if max(each.values(), default=0) > 0}
    query_ids, texts = data["queries"]["id"], _retrieval_texts(data["queries"], PromptType.query)
    queries = {str(key): text for key, text in zip(query_ids, texts, strict=True) if key in qrels}
    corpus: Corpus = []
    for batch in data["corpus"].iter(batch_size=10_000):
        titles = batch.get("title") or [""] * len(batch["id"])
        rows = zip(batch["id"], titles, batch["text"], strict=True)
        corpus.extend((str(doc_id), title or "", text or "") for doc_id, title, text in rows)
    kept = {key: {doc: int(score) for doc, score in qrels[key].items()} for key in queries}
    return corpus, queries, kept


def _squeezed(name: str) -> str:
    """Return `name` as the cache may spell it, which turns capitals into underscores."""
    return name.replace("_", "").lower()
