"""What a run minimises: InfoNCE, distillation, or both, at one or several widths, whole or gradient-cached.

InfoNCE, its symmetric form, gradient caching and nested widths are sentence-transformers' own. Duplicates
need no mask in any loss: `batches.py` lets no text stand twice in a batch, nor beside another of its matches,
and `hard_negatives.py` adds none that would. M hard negatives follow the B positives of a batch; only InfoNCE
from query to passage sees them. Several processes embed a share of the batch each, gather the embeddings, and
all take the loss of the whole: negatives are those of all processes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor, nn

from mixbench.errors import InputError
from mixbench.training.collating import Column, embed
from mixbench.training.config import TrainConfig
from mixbench.training.distill import Distillation, Lessons
from mixbench.training.gathering import gathered


def build_loss(model: SentenceTransformer, config: TrainConfig, lessons: Lessons | None) -> nn.Module:
    """Return the loss of `config` for `model`, taught by `lessons` where there are any."""
    widths = loss_widths(model, config)
    distillation = None if lessons is None else Distillation(lessons, widths, config.temperature, config.seed)
    if config.mini_batch_size is None:
        loss = Objective(model, config, distillation)
    else:
        loss = CachedObjective(model, config, distillation, config.mini_batch_size)
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
    if config.infonce_weight == 0 and config.hard_negatives:
        raise InputError(
            "hard_negatives serve InfoNCE alone, and infonce_weight is 0; leave one of the two out"
        )


def loss_widths(model: SentenceTransformer, config: TrainConfig) -> list[int]:
    """Return the widths at which the loss is taken, the model's own the last."""
    dimension = model.get_embedding_dimension()
    if dimension is None:
        raise InputError("the model does not say its embedding dimension, and training needs to know it")
    for width in config.matryoshka:
        if width > dimension:
            raise InputError(f"matryoshka: {width!r} is more than the model's {dimension} dimensions")
    return sorted({*config.matryoshka, dimension})


def _infonce(model: SentenceTransformer, config: TrainConfig) -> MultipleNegativesRankingLoss:
    directions: dict[str, Any] = {}
    if config.both_directions:
        directions = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    return MultipleNegativesRankingLoss(model, scale=1 / config.temperature, **directions)


class Objective(nn.Module):
    """The weighted sum of InfoNCE and, where there is a teacher, distillation; in 32 bits whatever embeds."""

    def __init__(
        self, model: SentenceTransformer, config: TrainConfig, distillation: Distillation | None
    ) -> None:
        super().__init__()
        self.model = model
        self.infonce = _infonce(model, config)
        self.distillation = distillation
        self.weights = (1.0 if distillation is None else config.infonce_weight, config.teacher_weight)

    def forward(self, columns: Sequence[Column], rows: Tensor) -> Tensor:
        """Return the loss of a batch: columns of queries and passages, and the numbers of its rows (B)."""
        return self.of([gathered(embed(self.model, column), column["size"]) for column in columns], rows)

    def of(self, embeddings: Sequence[Tensor], rows: Tensor) -> Tensor:
        """Return the loss of the embeddings (B, S) of queries and (B + M, S) of positives and negatives."""
        for_infonce, for_teacher = self.weights
        terms: list[Tensor] = []
        with torch.autocast(embeddings[0].device.type, enabled=False):
            queries, passages = (each.float() for each in embeddings)
            students = [queries, passages[: len(rows)]]
            if for_infonce:
                compared = [*students, passages[len(rows) :]]
                terms.append(for_infonce * self.infonce.compute_loss_from_embeddings(compared, rows))
            if self.distillation is not None:
                terms.append(for_teacher * self.distillation(students, rows))
        return torch.stack(terms).sum()


class CachedObjective(CachedLossMixin, Objective):
    """The same with gradient caching: `mini_batch_size` texts are embedded at a time, for the same loss."""

    def __init__(
        self,
        model: SentenceTransformer,
        config: TrainConfig,
        distillation: Distillation | None,
        mini_batch_size: int,
    ) -> None:
        Objective.__init__(self, model, config, distillation)
        self.mini_batch_size = mini_batch_size

    def forward(self, columns: Sequence[Column], rows: Tensor) -> Tensor:
        """Return the loss of a batch whose columns are one chunk each."""
        # The library hands the labels on to `calculate_loss` as they are.
        along: Any = (rows, [(column["order"], column["size"]) for column in columns])
        return self.forward_cached([column["chunks"][0] for column in columns], along)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Any = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the embeddings in their mini-batches; leave their gradients where asked."""
        rows, places = labels
        embeddings = [
            gathered(torch.cat(column)[order], size)
            for column, (order, size) in zip(reps, places, strict=True)
        ]
        loss = self.of(embeddings, rows)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss
