"""Training of a set matcher on frozen embeddings, as the paper trains it, with the best weights kept.

Each epoch has one set for each query, drawn anew. After each the matcher is measured on sets of other pairs,
always the same ones, and the weights of the lowest cross-entropy are what remains.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mixbench.errors import InputError, MixbenchError
from mixbench.probes.learning import Precision, check_precision, computing_in
from mixbench.probes.matcher import check_rows
from mixbench.probes.matcher_scoring import score_matcher
from mixbench.probes.matcher_sets import EmbeddedPairs, drawn_batches


@dataclass(frozen=True, kw_only=True)
class MatcherSettings:
    """How a matcher is trained; the defaults are the paper's for one GPU (50 to 200 epochs, in fp16 there).

    The learning rate rises over the warm-up and then falls to 0, both linearly; the optimiser is AdamW.

    Raises:
        InputError: a value that cannot be.
        UnknownName: there is no such precision.
    """

    epochs: int = 50
    batch_size: int = 128
    """Sets in a batch."""
    learning_rate: float = 1e-4
    warmup_steps: int = 500
    weight_decay: float = 0.0
    clip: float = 1.0
    """The longest that a gradient may be."""
    precision: Precision = "fp32"
    seed: int = 0
    """Of the order of the queries and of the sets."""

    def __post_init__(self) -> None:
        InputError.check_least(1, epochs=self.epochs, batch_size=self.batch_size)
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; give a number above 0")
        for name in ("warmup_steps", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; give 0 or more")
        check_precision(self.precision)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Mean cross-entropies, in nats: of the sets trained on, and of the held-out ones after the epoch."""

    number: int
    train: float
    dev: float


@dataclass(frozen=True, kw_only=True)
class MatcherTraining:
    """How a training went; the matcher has the weights of the epoch `best`."""

    curve: tuple[Epoch, ...]
    best: int
    sets_per_second: float
    """Of training alone."""


def train_matcher(
    matcher: nn.Module,
    train: EmbeddedPairs,
    dev: EmbeddedPairs,
    rows: int,
    settings: MatcherSettings,
    *,
    device: str = "cpu",
    told: Callable[[Epoch], None] = lambda epoch: None,
) -> MatcherTraining:
    """Train `matcher` in place on sets of `rows` drawn from `train`, and leave it on `device`.

    It ends with the weights that did best on `dev`. `told` is called after each epoch. The same seed and
    device give the same weights.

    Raises:
        InputError: a set is larger than the documents of one of both.
        MixbenchError: the loss is no number.
    """
    check_rows(rows, min(len(train.documents), len(dev.documents)))
    matcher.to(device)
    train, dev = train.to(device), dev.to(device)
    optimiser = torch.optim.AdamW(
        matcher.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=train.queries.is_cuda,
    )
    steps = settings.epochs * -(-len(train.queries) // settings.batch_size)
    schedule = LambdaLR(optimiser, lambda step: rate_share(step, settings.warmup_steps, steps))
    generator = torch.Generator(device=device).manual_seed(settings.seed)
    curve: list[Epoch] = []
    best_weights = copy.deepcopy(matcher.state_dict())
    seconds = 0.0
    for number in range(1, settings.epochs + 1):
        start = time.perf_counter()
        loss = _train_epoch(matcher, train, rows, settings, optimiser, schedule, generator)
        seconds += time.perf_counter() - start
        scores = score_matcher(matcher, dev, rows, seed=settings.seed, device=device)
        curve.append(Epoch(number=number, train=loss, dev=float(scores.cross_entropy.mean())))
        told(curve[-1])
        if curve[-1].dev <= min(epoch.dev for epoch in curve):
            best_weights = copy.deepcopy(matcher.state_dict())
    matcher.load_state_dict(best_weights)
    best = min(reversed(curve), key=lambda epoch: epoch.dev)
    return MatcherTraining(
        curve=tuple(curve),
        best=best.number,
        sets_per_second=settings.epochs * len(train.queries) / seconds,
    )


def _train_epoch(
    matcher: nn.Module,
    train: EmbeddedPairs,
    rows: int,
    settings: MatcherSettings,
    optimiser: torch.optim.Optimizer,
    schedule: LambdaLR,
    generator: torch.Generator,
) -> float:
    """Train on one set for each query; return the mean loss. Raises MixbenchError where that is no number."""
    device = train.queries.device
    total = torch.zeros((), device=device)
    for sets_Bmd, match_B in drawn_batches(train, rows, settings.batch_size, generator, shuffle=True):
        with computing_in(settings.precision, device):
            numbers_BC = matcher(sets_Bmd)
        loss = torch.nn.functional.cross_entropy(numbers_BC.float(), match_B)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(matcher.parameters(), settings.clip)
        optimiser.step()
        schedule.step()
        total += loss.detach() * len(match_B)
    mean = float(total) / len(train.queries)
    if mean != mean:
        raise MixbenchError(f"the matcher's loss is {mean}; train it with a lower learning rate")
    return mean


def rate_share(step: int, warmup: int, steps: int) -> float:
    """Return the share of the learning rate that a step has, counted from 0: up in a line, then down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))
