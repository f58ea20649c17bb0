"""One model of `mixbench bench train`: its own trainer, the work of a pair, and its rounds."""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from transformers import PrinterCallback

from mixbench.data.pairs import Pairs
from mixbench.experiments.device_memory import DeviceMemory
from mixbench.experiments.model_work import (
    count_parameters,
    count_tokens,
    embedding_parameters,
    forward_flops,
    limit_length,
)
from mixbench.experiments.step_window import StepWindow, timed_training
from mixbench.models.load import place
from mixbench.training.config import TrainConfig
from mixbench.training.trainer import build_trainer

PAIRS_COUNTED = 64
"""Pairs whose operations are counted; of equal length, one is enough."""


class Contender:
    """A model that is trained in place, on `device`, by the trainer of `train-retriever`, in rounds.

    A round is a run of `config.max_steps` on the same batches, of which the last after `warm_up` are timed.
    Weights and optimiser stay in memory between rounds. Checkpoints would go to `work`; none is written.

    Raises:
        InputError: the model reads fewer than `length` tokens, or is not to be trained with `config`.
    """

    def __init__(
        self,
        name: str,
        model: SentenceTransformer,
        pairs: Pairs,
        config: TrainConfig,
        *,
        device: str,
        length: int,
        warm_up: int,
        work: Path,
    ) -> None:
        self.name = name
        self.memory = DeviceMemory(torch.device(device))
        with self.memory.counted():
            self.model = place(model, device)
        limit_length(self.model, length, name)
        self.parameters = count_parameters(model)
        self.parameters_without_embedding = self.parameters - embedding_parameters(model)
        self.tokens_per_pair = tokens_per_pair(self.model, pairs)
        self.forward_flops_per_pair = forward_flops_per_pair(self.model, pairs)
        self.trainer = build_trainer(self.model, [pairs], config, work, None)
        self.trainer.remove_callback(PrinterCallback)
        self.window = StepWindow(warm_up, self.model.device)
        self.trainer.add_callback(self.window)

    def run_round(self) -> float:
        """Train once, and return the seconds of the timed steps.

        Raises:
            MixbenchError: the loss is not finite, so what was timed is no training.
        """
        with self.memory.counted():
            return timed_training(self.name, self.trainer, self.window)


def tokens_per_pair(model: SentenceTransformer, pairs: Pairs) -> float:
    """Return the mean tokens of a pair as `model` reads it: cut to its length, the end token included."""
    return count_tokens(model, [*pairs.queries, *pairs.positives]) / len(pairs)


def forward_flops_per_pair(model: SentenceTransformer, pairs: Pairs) -> float:
    """Return the mean operations of embedding a pair's two texts, each alone and so unpadded.

    It is the mean of the first 64 pairs.
    """
    counted = min(PAIRS_COUNTED, len(pairs))
    return forward_flops(model, [*pairs.queries[:counted], *pairs.positives[:counted]]) / counted
