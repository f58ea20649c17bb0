"""Information retention: how many tokens of a text can be rebuilt from its one embedding.

A decoder is trained to predict all tokens of a text from the embedding alone, repeated at every position;
the encoder stays as it is. After arXiv 2602.13466, where a decoder of width 1,024 and depth 8 learned for
200,000 steps: figures of smaller decoders and shorter training are lower bounds, fair to compare among
encoders that had the same.

Shapes: N texts of T tokens, D dimensions of an embedding, V vocabulary, B texts of a batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixbench.errors import InputError
from mixbench.probes.learning import Precision, check_precision, computing_in, shift_and_scale


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """How the decoder learns. The rate rises over the first tenth of the steps, then falls along a line to 0.

    Raises:
        InputError: a value is out of range.
        UnknownName: there is no such precision.
    """

    steps: int = 300
    batch_size: int = 32
    rate: float = 2e-3
    precision: Precision = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if not 0 < self.rate < float("inf"):
            raise InputError(f"rate must be above 0, not {self.rate!r}")
        check_precision(self.precision)

    def rate_at(self, step: int) -> float:
        """Return the rate of step `step`, from 0."""
        warm = max(1, self.steps // 10)
        return self.rate * min((step + 1) / warm, (self.steps - step) / max(1, self.steps - warm))


class Embedded(NamedTuple):
    """Texts: their embeddings (N, D), and the ids (N, T) that are to be rebuilt."""

    embeddings_ND: Tensor
    ids_NT: Tensor


class TextRetention(NamedTuple):
    """What was rebuilt of one text."""

    cross_entropy: float
    """Nats a token."""
    accuracy: float
    """Share of tokens that are the most likely one."""


def measure_retention(
    decoder: nn.Module,
    training: Embedded,
    held_out: Embedded,
    settings: RetentionSettings,
    advance: Callable[[int], None] = lambda steps: None,
) -> list[TextRetention]:
    """Train `decoder`, in place, on `training`; return what it rebuilds of each text held out.

    Args:
        decoder: module from repeated embeddings (B, T, D) to logits (B, T, V), on the device that is used.
        advance: is told each step.

    Each dimension of the embeddings is standardised by its mean and deviation over the training texts, so
    that neither their scale nor a part that all texts share stands in the decoder's way.

    Raises:
        InputError: embeddings are not finite, there is no text, or training diverges.
    """
    if not len(training.ids_NT) or not len(held_out.ids_NT):
        raise InputError("retention needs texts to train on and others to be held out")
    if not bool(training.embeddings_ND.isfinite().all() and held_out.embeddings_ND.isfinite().all()):
        raise InputError("the embeddings are not finite; hold the encoder's weights in float32")
    mean_D, scale_D = shift_and_scale(training.embeddings_ND)
    training = training._replace(embeddings_ND=(training.embeddings_ND - mean_D) * scale_D)
    held_out = held_out._replace(embeddings_ND=(held_out.embeddings_ND - mean_D) * scale_D)
    _train(decoder, training, settings, advance)
    decoder.eval()
    with torch.no_grad():
        return [
            text
            for start in range(0, len(held_out.ids_NT), settings.batch_size)
            for text in _judge(decoder, *(each[start : start + settings.batch_size] for each in held_out))
        ]


def log_frequencies(ids_NT: Tensor, vocabulary: int) -> Tensor:
    """Return the logarithms (V,) of the tokens' frequencies, each counted once more than it occurs."""
    counts_V = torch.bincount(ids_NT.flatten(), minlength=vocabulary) + 1.0
    return (counts_V / counts_V.sum()).log()


def guess_without_embedding(training: Embedded, held_out: Embedded, vocabulary: int) -> list[TextRetention]:
    """Return what the frequencies of tokens in `training` alone tell of each text held out: the floor."""
    known_V = log_frequencies(training.ids_NT, vocabulary)
    best = int(known_V.argmax())
    return [
        TextRetention(-float(known_V[ids_T].mean()), float((ids_T == best).float().mean()))
        for ids_T in held_out.ids_NT
    ]


def _train(
    decoder: nn.Module, training: Embedded, settings: RetentionSettings, advance: Callable[[int], None]
) -> None:
    decoder.train()
    device = training.embeddings_ND.device
    optimiser = torch.optim.AdamW(decoder.parameters(), weight_decay=0.01, fused=device.type == "cuda")
    draw = torch.Generator().manual_seed(settings.seed)
    order: list[int] = []
    for step in range(settings.steps):
        while len(order) < settings.batch_size:
            order += torch.randperm(len(training.ids_NT), generator=draw).tolist()
        batch, order = order[: settings.batch_size], order[settings.batch_size :]
        embeddings_BD, ids_BT = (each[batch] for each in training)
        with computing_in(settings.precision, device):
            logits_BTV = _logits(decoder, embeddings_BD, ids_BT)
        loss = cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT.flatten())
        if not math.isfinite(loss.item()):
            raise InputError(f"the decoder diverged at step {step}; take a lower rate than {settings.rate}")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.param_groups[0]["lr"] = settings.rate_at(step)
        optimiser.step()
        advance(1)


def _logits(decoder: nn.Module, embeddings_BD: Tensor, ids_BT: Tensor) -> Tensor:
    logits_BTV: Tensor = decoder(embeddings_BD[:, None].expand(-1, ids_BT.shape[1], -1))
    return logits_BTV


def _judge(decoder: nn.Module, embeddings_BD: Tensor, ids_BT: Tensor) -> list[TextRetention]:
    logits_BTV = _logits(decoder, embeddings_BD, ids_BT)
    losses_BT = cross_entropy(logits_BTV.transpose(1, 2), ids_BT, reduction="none")
    hits_BT = (logits_BTV.argmax(2) == ids_BT).float()
    rows = zip(losses_BT.mean(1).tolist(), hits_BT.mean(1).tolist(), strict=True)
    return [TextRetention(*row) for row in rows]
