"""What a run minimises: InfoNCE, distillation, or both, at one or several widths, whole or gradient-cached.

InfoNCE, its symmetric form, gradient caching and nested widths are sentence-transformers' own. Duplicates
need no mask in any loss: `batches.py` lets no text stand twice in a batch, nor beside another of its matches.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor, nn

from mixbench.errors import InputError
from mixbench.training.config import TrainConfig
from mixbench.training.distill import Distillation, Lessons


def build_loss(model: SentenceTransformer, config: TrainConfig, lessons: Lessons | None) -> nn.Module:
    """Return the loss of `config` for `model`, taught by `lessons` where there are any."""
    widths = loss_widths(model, config)
    loss = _plain(model, config) if lessons is None else _taught(model, config, lessons, widths)
    return MatryoshkaLoss(model, loss, widths) if config.matryoshka else loss


def check_loss(model: SentenceTransformer, config: TrainConfig, taught: bool) -> None:
    """Refuse settings that this model, or a run without a teacher, cannot follow.

    Raises:
        InputError: a nested width is above the model's dimension, nothing is left to learn from, or the
            model's texts lie end to end, without a dimension to cut into mini-batches.
    """
    if config.mini_batch_size is not None and isinstance(model[0], StaticEmbedding):
        kind = type(model[0]).__name__
        raise InputError(f"mini batches: {kind} takes none; leave the mini-batch size out")
    loss_widths(model, config)
    if config.infonce_weight == 0 and not taught:
        raise InputError("infonce_weight 0 leaves nothing to learn from; give a teacher with --teacher")


def loss_widths(model: SentenceTransformer, config: TrainConfig) -> list[int]:
    """Return the widths at which the loss is taken, the model's own the last."""
    dimension = model.get_embedding_dimension()
    if dimension is None:
        raise InputError("the model does not say its embedding dimension, and training needs to know it")
    for width in config.matryoshka:
        if width > dimension:
            raise InputError(f"matryoshka: {width!r} is more than the model's {dimension} dimensions")
    return sorted({*config.matryoshka, dimension})


def _plain(model: SentenceTransformer, config: TrainConfig) -> nn.Module:
    if config.mini_batch_size is None:
        return _infonce(model, config)
    settings = _directions(config)
    return CachedMultipleNegativesRankingLoss(
        model, scale=1 / config.temperature, mini_batch_size=config.mini_batch_size, **settings
    )


def _taught(
    model: SentenceTransformer, config: TrainConfig, lessons: Lessons, widths: Sequence[int]
) -> nn.Module:
    distillation = Distillation(lessons, widths, config.temperature, config.seed)
    weights = (config.infonce_weight, config.teacher_weight)
    if config.mini_batch_size is None:
        return Objective(model, _infonce(model, config), distillation, weights)
    return CachedObjective(model, _infonce(model, config), distillation, weights, config.mini_batch_size)


def _infonce(model: SentenceTransformer, config: TrainConfig) -> MultipleNegativesRankingLoss:
    return MultipleNegativesRankingLoss(model, scale=1 / config.temperature, **_directions(config))


def _directions(config: TrainConfig) -> dict[str, Any]:
    if not config.both_directions:
        return {}
    return {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}


class Objective(nn.Module):
    """The weighted sum of InfoNCE and distillation; `weights` are theirs, in that order."""

    def __init__(
        self,
        model: SentenceTransformer,
        infonce: MultipleNegativesRankingLoss,
        distillation: Distillation,
        weights: tuple[float, float],
    ) -> None:
        super().__init__()
        self.model = model
        self.infonce = infonce
        self.distillation = distillation
        self.weights = weights

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of a batch whose `labels` are the numbers of its rows in the training set."""
        return self.of(embed_columns(self.model, sentence_features), labels)

    def of(self, embeddings: list[Tensor], rows: Tensor) -> Tensor:
        """Return the loss of the embeddings (B, S) of queries and positives."""
        for_infonce, for_teacher = self.weights
        loss: Tensor = for_teacher * self.distillation(embeddings, rows)
        if for_infonce:
            loss = loss + for_infonce * self.infonce.compute_loss_from_embeddings(embeddings, rows)
        return loss


class CachedObjective(CachedLossMixin, Objective):
    """The same with gradient caching: `mini_batch_size` texts are embedded at a time, for the same loss."""

    def __init__(
        self,
        model: SentenceTransformer,
        infonce: MultipleNegativesRankingLoss,
        distillation: Distillation,
        weights: tuple[float, float],
        mini_batch_size: int,
    ) -> None:
        Objective.__init__(self, model, infonce, distillation, weights)
        self.mini_batch_size = mini_batch_size

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        return self.forward_cached(sentence_features, labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the embeddings in their mini-batches; leave their gradients where asked."""
        assert labels is not None
        loss = self.of([torch.cat(column) for column in reps], labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss
