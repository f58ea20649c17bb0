"""What the models of `mixbench bench train` are given: settings, and pairs that fill every batch."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixbench.data.pairs import Pairs, read_pairs
from mixbench.errors import InputError
from mixbench.experiments.synthetic_pairs import synthetic_pairs
from mixbench.models.tokenizer import load_tokenizer
from mixbench.training.batches import OneSourceBatches
from mixbench.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainBenchSettings:
    """What all models are given, and how they are timed; lengths are in tokens.

    `tokens` is the longest text that is read. A round is `warm_up` steps, not timed, and `steps` more.

    Raises:
        InputError: a number is too low, or the trainer has no such setting.
    """

    batch_size: int = 256
    tokens: int = 256
    query_tokens: int = 32
    steps: int = 20
    rounds: int = 5
    warm_up: int = 5
    compile: bool = False
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        InputError.check_least(1, steps=self.steps, rounds=self.rounds, warm_up=self.warm_up)
        self.config()

    @property
    def pairs_per_round(self) -> int:
        """Pairs that a model sees in a round, warm-up included."""
        return (self.warm_up + self.steps) * self.batch_size

    def config(self) -> TrainConfig:
        """Return the training that is timed."""
        steps = self.warm_up + self.steps
        return TrainConfig(
            batch_size=self.batch_size,
            max_steps=steps,
            eval_every=steps,
            precision=self.precision,
            compile=self.compile,
            seed=self.seed,
        )


def bench_pairs(settings: TrainBenchSettings, path: Path | None = None) -> Pairs:
    """Return the pairs of a round: synthetic ones, or of a file as many as it takes, chosen by the seed."""
    if path is None:
        return synthetic_pairs(
            load_tokenizer(),
            settings.pairs_per_round,
            settings.query_tokens,
            settings.tokens,
            settings.seed,
        )
    pairs = read_pairs(path)
    chosen = random.Random(settings.seed).sample(range(len(pairs)), min(len(pairs), settings.pairs_per_round))
    return pairs.take(chosen)


def check_batches(pairs: Pairs, settings: TrainBenchSettings) -> None:
    """Raise InputError unless each batch of a round is full: a smaller one would count as a whole."""
    batches = OneSourceBatches([pairs], settings.batch_size, settings.seed)
    steps, epoch = settings.warm_up + settings.steps, 0
    while steps > 0:
        batches.set_epoch(epoch)
        for batch in list(batches)[:steps]:
            if len(batch) < settings.batch_size:
                raise InputError(
                    f"{pairs.name}: only {len(batch)} of its pairs can share a batch of"
                    f" {settings.batch_size}; give more pairs, longer queries or a smaller --batch-size"
                )
            steps -= 1
        epoch += 1
