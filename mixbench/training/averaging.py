"""An exponential moving average of the weights, kept beside those that are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mixbench.errors import CheckpointError

AVERAGE_FILE = "average.safetensors"


class WeightAverage:
    """a <- d a + (1 - d) w after each step, with d = min(decay, (1 + step) / (10 + step)).

    So the weights that training started from do not linger in the average of a short run. The average is a
    function of the steps made, and a checkpoint holds it: a resumed run has a straight run's.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self.model.named_parameters():
            self.weights[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def install(self) -> None:
        """Put the average in place of the model's weights."""
        for name, value in self.model.named_parameters():
            value.copy_(self.weights[name])

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the average in place for a while; the trained weights come back bit for bit."""
        live = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        self.install()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.model.named_parameters():
                    value.copy_(live[name])

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint."""
        save_file({name: value.contiguous() for name, value in self.weights.items()}, folder / AVERAGE_FILE)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote. Raises CheckpointError where it does not fit the model."""
        stored: dict[str, Tensor] = load_file(folder / AVERAGE_FILE)
        if {name: value.shape for name, value in stored.items()} != {
            name: value.shape for name, value in self.weights.items()
        }:
            raise CheckpointError(f"{folder / AVERAGE_FILE}: averages the weights of another model")
        for name, value in stored.items():
            self.weights[name].copy_(value)
