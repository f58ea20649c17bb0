"""Dense retrieval: any sentence-transformers model as an encoder, and exact search over its embeddings.

Texts are encoded as mteb encodes them: `encode_query` and `encode_document`, title and text joined by a
space, with the prompts of the model unless others are given.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mixbench.data import Document, in_order
from mixbench.errors import InputError
from mixbench.retrievers.attention import attention_of_any_shape
from mixbench.retrievers.cpu_encoding import cpu_batches, encode_on_cpu
from mixbench.retrievers.embeddings import EmbeddingIndex, check_dimension, runs_of
from mixbench.retrievers.encoding import Encoding, encoding_code, shard_texts
from mixbench.retrievers.flops import count_flops
from mixbench.retrievers.lengths import checked_length, limit_length
from mixbench.retrievers.precision import precision_recipe
from mixbench.retrievers.protocol import Ranking
from mixbench.retrievers.tokenising import tokenising_ahead

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SIMILARITIES = ("cosine", "dot")
TOKENISED_AT_ONCE = 1_000
DOCUMENTS_COUNTED = 32


class DenseRetriever:
    """A sentence-transformers model that ranks documents by the cosine or the dot product of embeddings.

    `model_sha256` identifies the weights. `similarity` is the model's own unless given ("cosine" or "dot").
    A prompt of None means the model's own, "" means none. `max_length` counts tokens, special ones included;
    None keeps the model's. `truncate_dim` keeps the first dimensions of each embedding, normalised again
    where the similarity is cosine; None keeps the model's. `precision` is that of indexed documents:
    "float32", "int8" or "binary", see `retrievers/precision.py`. `weights` says how the model holds its
    weights where files and data type do not tell. Documents are encoded and searched `chunk_size` at a time.
    `training_sources` names what the model was trained on; None means that nobody says. `encoding` keeps the
    embeddings of indexed documents, and has the budget of memory; of None nothing is kept, without a budget.
    Raises InputError for a similarity, a length or a number of dimensions that cannot be used, and
    UnknownName for a precision.
    """

    def __init__(
        self,
        model: "SentenceTransformer",
        *,
        name: str,
        model_sha256: str,
        batch_size: int = 32,
        similarity: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_length: int | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        weights: str | None = None,
        training_sources: Sequence[str] | None = None,
        chunk_size: int = 50_000,
        encoding: Encoding | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.model_sha256 = model_sha256
        self.batch_size = self._fitting = batch_size
        self.similarity = _checked_similarity(similarity or model.similarity_fn_name, name)
        own_query, own_document = _own_prompts(model)
        self.query_prompt = own_query if query_prompt is None else query_prompt
        self.document_prompt = own_document if document_prompt is None else document_prompt
        self.max_length = checked_length(max_length, model, name)
        if truncate_dim is not None:
            check_dimension(truncate_dim, model.get_embedding_dimension(), name)
        self.truncate_dim = truncate_dim
        self.precision = precision
        self.weights = weights
        self.training_sources = training_sources
        self.training_command: str | None = None
        self.architecture: str | None = None
        self.control_of: str | None = None
        self.chunk_size = chunk_size
        self.encoding = encoding or Encoding()
        self.advance: Callable[[int], None] = lambda texts: None
        self._index = self._empty_index()

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting that can change a ranking, JSON values only.

        A key that later came in is there only where it is not at its default, so that the results of before
        keep their revision.
        """
        recipe: dict[str, Any] = {
            "kind": "dense",
            "model_sha256": self.model_sha256,
            "similarity": self.similarity,
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
            "max_length": self.max_length,
            "truncate_dim": self.model.truncate_dim if self.truncate_dim is None else self.truncate_dim,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        if self.weights is not None:
            recipe["weights"] = self.weights
        return recipe | precision_recipe(self.precision)

    @property
    def query_prefix(self) -> str:
        """What stands before each query."""
        return self.query_prompt

    @property
    def parameters(self) -> int:
        """Parameters of the model, embeddings included; of 4-bit weights the weights, not their bytes."""
        return sum(_weights_in(parameter) for parameter in self.model.parameters())

    @property
    def index_bytes(self) -> int:
        """Bytes of the embeddings of the current index, in their precision."""
        return self._index.nbytes

    @property
    def truncated_share(self) -> float | None:
        """Share of indexed documents that have more tokens than the model reads; None if that cannot be told.

        Tokenises the corpus again at each call, so that indexing is not slowed by it.
        """
        documents = self._index.documents
        tokenizer = getattr(self.model, "tokenizer", None)
        backend: Any = copy.deepcopy(getattr(tokenizer, "backend_tokenizer", tokenizer))
        if self.max_length is None or not documents or not hasattr(backend, "no_truncation"):
            return None
        backend.no_truncation()
        backend.no_padding()
        truncated = 0
        for start in range(0, len(documents), TOKENISED_AT_ONCE):
            chunk = documents[start : start + TOKENISED_AT_ONCE]
            texts = [self.document_prompt + document.content for document in chunk]
            truncated += sum(len(row.ids) > self.max_length for row in backend.encode_batch_fast(texts))
        return truncated / len(documents)

    @property
    def flops_per_document(self) -> int | None:
        """Mean operations for one indexed document, alone and so unpadded, over a few spread evenly.

        They follow from the shapes of what the model is given, so that of documents of one length one is run.
        """
        documents = self._index.documents[:: -(-len(self._index.documents) // DOCUMENTS_COUNTED) or 1]
        if not documents:
            return None
        with self._length():
            shapes = [self._shapes(document) for document in documents]
        one_each = dict(zip(shapes, documents, strict=True))
        flops = {shape: count_flops(partial(self.encode_documents, [one])) for shape, one in one_each.items()}
        return sum(flops[shape] for shape in shapes) // len(shapes)

    def _shapes(self, document: Document) -> tuple[tuple[int, ...], ...]:
        features = self.model.preprocess([self.document_prompt + document.content])
        return tuple(tuple(each.shape) for each in features.values() if isinstance(each, Tensor))

    def index(self, corpus: Sequence[Document]) -> None:
        """Encode `corpus`, or read its embeddings where they are kept, and replace the index by it.

        Raises InputError for an empty corpus, MixbenchError where an embedding holds NaN or infinity, and
        where memory does not hold the encoding of one text.
        """
        texts = shard_texts(self.batch_size)
        self._index.check_memory(min(texts, len(corpus)), self.model.get_embedding_dimension() or 0)
        self._index.fill(corpus, self._shard, at_once=texts)

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return the `k` best documents of each query: all of them where the corpus is smaller."""
        return self._index.search(queries, k, self.encode_queries)

    def _empty_index(self) -> EmbeddingIndex:
        return EmbeddingIndex(
            self.name,
            self.similarity,
            self.chunk_size,
            truncate_dim=self.truncate_dim,
            precision=self.precision,
            memory=self.encoding.memory,
        )

    def _shard(self, documents: Sequence[Document]) -> Tensor:
        """Return the embeddings (documents, dimension) of a shard, on the CPU."""
        texts = [document.content for document in documents]
        encode = partial(self.encode_documents, documents)
        embeddings, read = self.encoding.shard(self.settings, texts, encode, self.name)
        if read:
            self.advance(len(documents))
        return embeddings

    def shards(self, corpus: Sequence[Document]) -> Iterator[Sequence[Document]]:
        """Yield the documents of `corpus` as `index` has them encoded, those of a shard together."""
        for chunk in runs_of(in_order(corpus, reverse=True), self.chunk_size):
            yield from runs_of(chunk, shard_texts(self.batch_size))

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the embeddings of documents, their last bits included."""
        return {
            "model_sha256": self.model_sha256,
            "weights": self.weights,
            "dtype": str(self.model.dtype),
            "prompt": self.document_prompt,
            "max_length": self.max_length,
            "dimensions": self.model.truncate_dim,
            "batch_size": self.batch_size,
            "device": self.model.device.type,
            "code": encoding_code(),
        }

    def encode_queries(self, queries: Sequence[str]) -> Tensor:
        """Return the embeddings (queries, dimension) of texts, as the model gives them, on its device."""
        return self._encoded(self.model.encode_query, list(queries), self.query_prefix)

    def encode_documents(self, documents: Sequence[Document]) -> Tensor:
        """Return the embeddings (documents, dimension) of titles and texts, as the model gives them."""
        texts = [document.content for document in documents]
        return self._encoded(self.model.encode_document, texts, self.document_prompt)

    def _encoded(self, method: Callable[..., Tensor], texts: list[str], prompt: str) -> Tensor:
        encode = partial(method, prompt=prompt, convert_to_tensor=True, show_progress_bar=False)
        with self._length():
            run = partial(self._in_batches, encode, texts)
            embeddings, self._fitting = self.encoding.in_memory(run, self._fitting, self.name)
        if self._fitting < self.batch_size:
            self.encoding.note_batch(self._fitting)
        return embeddings

    @attention_of_any_shape()
    def _in_batches(self, encode: Callable[..., Tensor], texts: list[str], size: int) -> Tensor:
        encode = partial(encode, batch_size=size)
        if self.model.device.type == "cpu" and texts:
            batches = cpu_batches(texts, size, self.max_length)
            return encode_on_cpu(self.model, encode, texts, batches, self.advance)
        with self._counted(size), tokenising_ahead(self.model, texts, size):
            return encode(texts)

    @contextmanager
    def _length(self) -> Iterator[None]:
        """Encode at our length, and leave the model as it was: other retrievers may share it."""
        before = self.model.max_seq_length
        if self.max_length is None or self.max_length == before:
            yield
            return
        limit_length(self.model, self.max_length)
        try:
            yield
        finally:
            self.model.max_seq_length = before

    @contextmanager
    def _counted(self, size: int) -> Iterator[None]:
        """Tell `advance` of each batch. Of a whole model no hook is called, of its modules they are."""
        first = next(iter(self.model))
        hook = first.register_forward_hook(lambda *_: self.advance(size))
        try:
            yield
        finally:
            hook.remove()


def _weights_in(parameter: Tensor) -> int:
    # bitsandbytes packs two 4-bit weights into a byte, and remembers their shape here.
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else int(packed.shape.numel())


def _checked_similarity(similarity: str, name: str) -> str:
    if similarity not in SIMILARITIES:
        raise InputError(
            f"model {name!r} has similarity {similarity!r}; only 'cosine' and 'dot' can be searched"
        )
    return similarity


def _own_prompts(model: "SentenceTransformer") -> tuple[str, str]:
    """Return the prompts that sentence-transformers would choose for queries and for documents."""

    def first(*names: str | None) -> str:
        return next((model.prompts[name] or "" for name in names if name in model.prompts), "")

    default = model.default_prompt_name
    return first("query", default), first("document", "passage", "corpus", default)
