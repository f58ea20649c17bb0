"""Every setting of pretraining that can change its weights or its speed."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal, get_args

from mixbench.errors import InputError

Objective = Literal["next-token", "autoencoder", "unrolled-autoencoder"]
AUTOENCODERS: tuple[Objective, ...] = ("autoencoder", "unrolled-autoencoder")

FREE_ON_RESUME = frozenset({"max_minutes", "compile"})
"""Settings that a resumed run may change."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of `pretrain`. `objective` is the next token of each, or a window again from its embedding.

    Steps are optimiser steps of `batch_size` windows; None for `max_steps` is one pass over the text.
    `max_minutes` stops a run early, wherever its learning rate is. The rate rises over the first
    `warmup_ratio` of the steps, then falls by a cosine to `final_ratio` of its peak. Matrices have weight
    decay, vectors none. Every `eval_every` steps, ten times in a run unless given, the loss on held-out text
    is taken and a checkpoint written.

    Raises:
        InputError: a value is out of range.
    """

    objective: Objective = "next-token"
    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 64
    learning_rate: float = 5e-4
    warmup_ratio: float = 0.05
    final_ratio: float = 0.1
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    eval_every: int | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise InputError(f"objective must be {' or '.join(get_args(Objective))}, not {self.objective!r}")
        for name in ("learning_rate", "max_minutes", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} must be above 0, not {value!r}")
        for name, least in {
            "max_steps": 1,
            "batch_size": 1,
            "eval_every": 1,
            "seed": 0,
            "weight_decay": 0,
        }.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"{name} must be at least {least}, not {value!r}")
        for name in ("warmup_ratio", "final_ratio"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, not {getattr(self, name)!r}")

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step `step`, from 0, of `steps`."""
        warm = round(self.warmup_ratio * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        share = (step - warm) / max(1, steps - warm)
        low = self.final_ratio
        return self.learning_rate * (low + (1 - low) * (1 + cos(pi * share)) / 2)
