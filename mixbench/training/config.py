"""Every setting of a training run that can change its weights or its speed."""

from dataclasses import dataclass
from typing import Literal

from mixbench.errors import InputError

FREE_ON_RESUME = frozenset({"max_minutes"})
"""Settings that a resumed run may change."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train_retriever`.

    Steps are optimiser steps of `batch_size` pairs. `max_steps` overrides `epochs`; `max_minutes` stops a
    run early, wherever its learning rate is. The learning rate rises over the first `warmup_ratio` of the
    steps, then falls to 0 by `schedule`; that of the token embeddings is `embedding_rate` and takes
    the same course. Every `eval_every` steps, ten times in a run unless given, the model is scored on dev
    pairs and a checkpoint written. `max_length` (tokens) becomes the model's own. `mini_batch_size` bounds
    memory by embedding that many pairs at a time, for the same loss. "auto" precision is bfloat16 where the
    device is a GPU that has it. `compile` compiles each block.

    `both_directions` averages InfoNCE of each query over the positives and of each positive over the
    queries. With `matryoshka` widths the loss is the sum of that of the first dimensions, at each width, and
    of the whole embedding. `average` is the decay of a moving average of the weights, which then is what is
    scored and published. With a teacher the loss is `infonce_weight` InfoNCE + `teacher_weight` distillation.
    Of the hard negatives of each pair `hard_negatives` are drawn in each epoch; InfoNCE compares all queries
    of a batch with those of all its pairs, in the direction from query to passage alone.

    Raises:
        InputError: a value is out of range.
    """

    temperature: float = 0.05
    learning_rate: float = 5e-4
    embedding_rate: float | None = None
    batch_size: int = 256
    epochs: float = 1.0
    max_steps: int | None = None
    max_minutes: float | None = None
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    seed: int = 0
    eval_every: int | None = None
    max_length: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    mini_batch_size: int | None = None
    compile: bool = False
    schedule: Literal["linear", "cosine"] = "linear"
    both_directions: bool = False
    matryoshka: tuple[int, ...] = ()
    average: float | None = None
    infonce_weight: float = 1.0
    teacher_weight: float = 1.0
    hard_negatives: int = 0

    def __post_init__(self) -> None:
        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} must be above 0, not {value!r}")
            if name.endswith("_rate") and value is not None and value > MOST_RATE:
                raise InputError(f"{name} must be at most {MOST_RATE:g}, not {value!r}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"{name} must be at least {least}, not {value!r}")
        if not 0 <= self.warmup_ratio < 1:
            raise InputError(f"warmup_ratio must lie in 0 to 1, not {self.warmup_ratio!r}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise InputError(f"precision must be 'auto', 'fp32' or 'bf16', not {self.precision!r}")
        if self.schedule not in ("linear", "cosine"):
            raise InputError(f"schedule must be 'linear' or 'cosine', not {self.schedule!r}")
        if not 0 <= self.infonce_weight < float("inf"):
            raise InputError(f"infonce_weight must be at least 0, not {self.infonce_weight!r}")
        if self.average is not None and not 0 < self.average < 1:
            raise InputError(f"average must lie between 0 and 1, not {self.average!r}")
        if min(self.matryoshka, default=1) < 1 or len({*self.matryoshka}) < len(self.matryoshka):
            raise InputError(f"matryoshka must be distinct widths of at least 1, not {self.matryoshka!r}")


MOST_RATE = 1e30
"""No run learns at it; above it the optimiser's own numbers overflow."""
ABOVE_ZERO = (
    "temperature",
    "learning_rate",
    "embedding_rate",
    "epochs",
    "max_minutes",
    "teacher_weight",
)
LEAST = {
    "batch_size": 2,
    "max_steps": 1,
    "eval_every": 1,
    "max_length": 1,
    "mini_batch_size": 1,
    "weight_decay": 0,
    "seed": 0,
    "hard_negatives": 0,
}


def read_widths(text: str | None) -> tuple[int, ...]:
    """Return the widths in `text`, such as "64,128". Raises InputError for one that is no number."""
    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise InputError(f"matryoshka {text!r}: give whole numbers with commas, as 64,128") from None
