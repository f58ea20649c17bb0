"""One model of `mixbench bench train`: its own trainer, the work of a pair, and its rounds."""

import gc
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import nn
from transformers import PrinterCallback

from mixbench.data.pairs import Pairs
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.step_window import StepWindow
from mixbench.models.load import place
from mixbench.retrievers.flops import count_flops
from mixbench.training.config import TrainConfig
from mixbench.training.contrastive import blocks_of
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
        self._resident = 0
        self.peak_memory: int | None = None
        before = _allocated(torch.device(device))
        self.model = place(model, device)
        _limit_length(self.model, length, name)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.parameters_without_embedding = self.parameters - _embedding_parameters(model)
        self.tokens_per_pair = tokens_per_pair(self.model, pairs)
        self.forward_flops_per_pair = forward_flops_per_pair(self.model, pairs)
        self.trainer = build_trainer(self.model, [pairs], config, work, None)
        self.trainer.remove_callback(PrinterCallback)
        self.window = StepWindow(warm_up, self.model.device)
        self.trainer.add_callback(self.window)
        if config.compile:
            for block in blocks_of(self.model[0]):
                block.compile(dynamic=True)
        self._resident = _allocated(self.model.device) - before

    def run_round(self) -> float:
        """Train once, and return the seconds of the timed steps.

        Raises:
            MixbenchError: the loss is not finite, so what was timed is no training.
        """
        device = self.model.device
        others = _allocated(device) - self._resident
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        loss = self.trainer.train().training_loss
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device) - others
            self.peak_memory = max(peak, self.peak_memory or 0)
        self._resident = _allocated(device) - others
        if not math.isfinite(loss):
            raise MixbenchError(f"the mean loss of {self.name} is {loss}; give another --seed")
        assert self.window.seconds is not None
        return self.window.seconds


def tokens_per_pair(model: SentenceTransformer, pairs: Pairs) -> float:
    """Return the mean tokens of a pair as `model` reads it: cut to its length, the end token included."""
    texts = [*pairs.queries, *pairs.positives]
    return sum(_tokens(model, texts[start : start + 256]) for start in range(0, len(texts), 256)) / len(pairs)


def forward_flops_per_pair(model: SentenceTransformer, pairs: Pairs) -> float:
    """Return the mean operations of embedding a pair's two texts, each alone and so unpadded.

    It is the mean of the first 64 pairs. A text's operations depend on its length only.
    """
    by_length: dict[int, int] = {}
    total = 0
    counted = min(PAIRS_COUNTED, len(pairs))
    for text in [*pairs.queries[:counted], *pairs.positives[:counted]]:
        length = _tokens(model, [text])
        if length not in by_length:
            by_length[length] = _forward_flops(model, text)
        total += by_length[length]
    return total / counted


def _forward_flops(model: SentenceTransformer, text: str) -> int:
    features = batch_to_device(model.preprocess([text]), model.device)
    with torch.no_grad():
        return count_flops(lambda: model(features))


def _tokens(model: SentenceTransformer, texts: Sequence[str]) -> int:
    features = model.preprocess(list(texts))
    mask = features.get("attention_mask")  # texts that lie end to end have none, and no padding
    return features["input_ids"].numel() if mask is None else int(mask.sum())


def _limit_length(model: SentenceTransformer, length: int, name: str) -> None:
    """Cut texts to `length` tokens, but for a model that always reads whole texts."""
    own = getattr(model, "max_seq_length", None)
    if own is None or own == math.inf:
        return
    if length > own:
        raise InputError(f"{name} reads at most {own} tokens; give --tokens {own} or fewer")
    model.max_seq_length = length


def _embedding_parameters(model: nn.Module) -> int:
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    # The largest is that of the tokens; GPT-2's learned positions are a smaller one, and no token embedding.
    return max((table.weight.numel() for table in tables), default=0)


def _allocated(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    gc.collect()  # what a finished run leaves in cycles is nobody's
    return torch.cuda.memory_allocated(device)
