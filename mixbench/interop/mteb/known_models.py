"""Models that mteb knows by name: what it says of them, and running them through plain lists.

Some models choose a prompt, or a stemmer, by task; each call therefore names one. A task that mteb does not
have is described as English retrieval without a prompt of its own.
"""

import difflib
import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import mteb
import torch
from datasets import Dataset
from mteb import TaskMetadata
from mteb.models import EncoderProtocol, ModelMeta, SearchEncoderWrapper, SearchProtocol
from mteb.models.abs_encoder import get_prompt_name
from mteb.models.model_meta import ScoringFunction
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from torch.utils.data import DataLoader

from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.interop.foreign_code import refusing_foreign_code

Row = tuple[str, str, str]
"""A document: doc_id, title, text."""

LOAD_ERRORS = (OSError, ImportError, NotImplementedError, ValueError, KeyError, RuntimeError)
SIMILARITIES = {ScoringFunction.COSINE: "cosine", ScoringFunction.DOT_PRODUCT: "dot"}


class SentenceTransformerDetails(NamedTuple):
    """What mteb says of a model that its plain sentence-transformers loader can load."""

    revision: str | None
    query_prompt: str | None
    """None: the prompt that the model brings along."""
    document_prompt: str | None
    training_datasets: tuple[str, ...] | None
    """None: mteb does not know."""
    dtype: str | None = None
    """Of the weights; None: the model's own."""


def known_to_mteb(name: str) -> bool:
    """Return whether mteb has a model called `name`, without asking the hub."""
    try:
        mteb.get_model_meta(name)
    except KeyError:
        return False
    return True


def sentence_transformer_details(name: str, task: str | None = None) -> SentenceTransformerDetails | None:
    """Return how to load `name` with sentence-transformers alone, or None where mteb needs more than that.

    `task` (its name in mteb) chooses among the prompts of a model that has one for each task. Models that
    need foreign code, or any setting other than prompts, give None. Raises UnknownName.
    """
    meta = model_meta(name)
    if meta.loader is not SentenceTransformerEncoderWrapper or set(meta.loader_kwargs) - {"model_prompts"}:
        return None
    prompts = meta.loader_kwargs.get("model_prompts")
    query, document = (_prompt(prompts, task, kind) for kind in (PromptType.query, PromptType.document))
    return SentenceTransformerDetails(meta.revision, query, document, training_datasets(meta))


class KnownModel:
    """A model loaded by mteb, driven through lists of texts.

    Code that the model brings along runs only where it is `trusted`, whatever mteb's loader allows.

    A model with a `similarity` ("cosine" or "dot") encodes queries and documents, and leaves the search to
    the caller. One without ("") is indexed and searched. Raises UnknownName, InputError for a model that only
    reranks, and MixbenchError where mteb cannot load it.
    """

    def __init__(
        self, name: str, *, device: str | None = None, batch_size: int = 32, trusted: bool = False
    ) -> None:
        meta = model_meta(name)
        if meta.is_cross_encoder:
            raise InputError(f"model {name!r} only reranks candidates; it cannot search a corpus")
        try:
            with nullcontext() if trusted else refusing_foreign_code(name):
                self._model: Any = meta.load_model(device=device)
        except LOAD_ERRORS as error:
            reason = " ".join(str(error).split())[:300]
            raise MixbenchError(
                f"mteb cannot load model {name!r}: {type(error).__name__}: {reason}"
            ) from error
        self.name = str(meta.name)
        self.revision = meta.revision or ""
        self.training_datasets = training_datasets(meta)
        self.parameters = _parameters(self._model, meta)
        self.mteb_version = mteb.__version__
        searches = isinstance(self._model, SearchProtocol) or "dense" not in meta.model_type
        self.similarity = "" if searches else _similarity(self._model, meta)
        self._kwargs: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": False}
        self._corpus: Dataset | None = None

    def encode_queries(self, queries: Sequence[str], *, task: str | None = None) -> torch.Tensor:
        """Return the embeddings (queries, dimension)."""
        columns = {"text": list(queries), "query": list(queries)}
        return self._encode(columns, PromptType.query, task)

    def encode_documents(self, rows: Sequence[Row], *, task: str | None = None) -> torch.Tensor:
        """Return the embeddings (documents, dimension): of title and text joined, unless the model asks."""
        columns = {
            "id": [doc_id for doc_id, _, _ in rows],
            "text": [f"{title} {text}".strip() if title else text.strip() for _, title, text in rows],
            "body": [text for _, _, text in rows],
        }
        if any(title for _, title, _ in rows):
            columns["title"] = [title for _, title, _ in rows]
        return self._encode(columns, PromptType.document, task)

    def _encode(self, columns: dict[str, list[str]], kind: PromptType, task: str | None) -> torch.Tensor:
        loader = DataLoader(Dataset.from_dict(columns), batch_size=self._kwargs["batch_size"])
        return torch.as_tensor(self._model.encode(loader, **_place(task), prompt_type=kind, **self._kwargs))

    def index(self, rows: Sequence[Row], *, task: str | None = None) -> None:
        """Replace the index by one of `rows`."""
        ids, titles, texts = zip(*rows, strict=True)
        self._corpus = Dataset.from_dict({"id": list(ids), "title": list(titles), "text": list(texts)})
        self._searcher = self._wrapped()
        self._searcher.index(self._corpus, **_place(task), encode_kwargs=self._kwargs, num_proc=None)

    def search(self, queries: Sequence[str], k: int, *, task: str | None = None) -> list[dict[str, float]]:
        """Return doc_id -> score for each query, at most `k`, in no particular order."""
        assert self._corpus is not None, "index was called"
        if not isinstance(self._model, SearchProtocol):
            # mteb's wrapper forgets its corpus after each search.
            self._searcher.index(self._corpus, **_place(task), encode_kwargs=self._kwargs, num_proc=None)
        ids = [str(number) for number in range(len(queries))]
        found = self._searcher.search(
            Dataset.from_dict({"id": ids, "text": list(queries)}),
            **_place(task),
            top_k=k,
            encode_kwargs=self._kwargs,
            num_proc=None,
        )
        return [dict(found[query_id]) for query_id in ids]

    def _wrapped(self) -> Any:
        if isinstance(self._model, SearchProtocol):
            return self._model
        assert isinstance(self._model, EncoderProtocol), "mteb's models search, encode or rerank"
        return SearchEncoderWrapper(self._model)


def model_meta(name: str) -> ModelMeta:
    """Return what mteb says of the model called `name`; raise UnknownName where it has none."""
    try:
        return mteb.get_model_meta(name)
    except KeyError as error:
        names = [str(meta.name) for meta in mteb.get_model_metas()]
        nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.0)
        raise UnknownName.of("model of mteb", name, nearest) from error


@functools.cache
def _task_metadata(task: str | None) -> TaskMetadata:
    if task is not None:
        return mteb.get_task(task).metadata
    return TaskMetadata(
        name="Retrieval",
        description="Queries against a corpus.",
        dataset={"path": "none", "revision": "none"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        reference=None,
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation=None,
    )


def _place(task: str | None) -> dict[str, Any]:
    metadata = _task_metadata(task)
    return {
        "task_metadata": metadata,
        "hf_split": metadata.eval_splits[0],
        "hf_subset": metadata.hf_subsets[0] if metadata.hf_subsets else "default",
    }


def _prompt(prompts: dict[str, str] | None, task: str | None, kind: PromptType) -> str | None:
    if not prompts:
        return None
    # Where mteb lists prompts, it hides the model's own: a kind that is not listed has none.
    return prompts.get(str(get_prompt_name(prompts, _task_metadata(task), kind)), "")


def training_datasets(meta: ModelMeta) -> tuple[str, ...] | None:
    """Return the names of what a model was trained on, in order; None where mteb does not know."""
    named = meta.get_training_datasets()
    return None if named is None else tuple(sorted(named))


def _parameters(model: Any, meta: ModelMeta) -> int:
    inner = getattr(model, "model", None)
    if isinstance(inner, torch.nn.Module):
        return sum(parameter.numel() for parameter in inner.parameters())
    return meta.n_parameters or 0


def _similarity(model: Any, meta: ModelMeta) -> str:
    own = getattr(getattr(model, "model", None), "similarity_fn_name", None)
    stated = SIMILARITIES.get(meta.similarity_fn_name) if meta.similarity_fn_name is not None else "cosine"
    similarity = own or stated
    if similarity not in SIMILARITIES.values():
        raise InputError(
            f"model {meta.name!r} compares by {similarity or meta.similarity_fn_name!r}; only"
            " 'cosine' and 'dot' can be searched"
        )
    return str(similarity)
