"""Cross-encoders: a network reads query and document together and gives one score."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from mixbench.data import Document
from mixbench.errors import InputError
from mixbench.retrievers.attention import attention_of_any_shape

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

UNLIMITED = 2**31


class CrossEncoderScorer:
    """Any CrossEncoder of sentence-transformers with one output; a `Scorer`.

    A score is the network's own number, without an activation: a sigmoid would change no order, but round
    high scores to the same 1. `model_sha256` identifies the weights, `batch_size` counts pairs.
    Raises InputError for a model of several outputs.
    """

    def __init__(
        self,
        model: "CrossEncoder",
        *,
        name: str,
        model_sha256: str,
        batch_size: int = 32,
        training_sources: Sequence[str] | None = None,
    ) -> None:
        if model.num_labels != 1:
            raise InputError(
                f"reranker {name!r} gives {model.num_labels} numbers for a pair;"
                " only cross-encoders with one (num_labels = 1) can rank"
            )
        self.model = model
        self.name = name
        self.model_sha256 = model_sha256
        self.batch_size = batch_size
        self.training_sources = training_sources

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting that can change a score, JSON values only."""
        length = self.model.max_seq_length
        return {
            "kind": "cross-encoder",
            "model_sha256": self.model_sha256,
            # A model that reads everything says None, infinity, or 10 to the power of 30.
            "max_length": length if isinstance(length, int) and length < UNLIMITED else None,
            "activation": "identity",
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    @property
    def parameters(self) -> int:
        """Parameters of the model, embeddings included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @attention_of_any_shape()
    def score(
        self,
        queries: Sequence[str],
        candidates: Sequence[Sequence[Document]],
        advance: Callable[[int], None],
    ) -> list[list[float]]:
        """Return the scores of each query's candidates, read with the query, title before text."""
        scores: list[list[float]] = []
        for query, documents in zip(queries, candidates, strict=True):
            pairs = [(query, document.content) for document in documents]
            found = self.model.predict(
                pairs,
                batch_size=self.batch_size,
                activation_fn=nn.Identity(),
                convert_to_tensor=True,
                show_progress_bar=False,
            )
            scores.append([float(score) for score in found])
            advance(len(pairs))
        return scores
