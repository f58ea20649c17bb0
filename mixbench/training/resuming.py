"""Checkpoints of fine-tuning put back: each file is there, can be read, and fits the model."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from mixbench.errors import CheckpointError
from mixbench.training.processes import together

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    pickle.UnpicklingError,
)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raise CheckpointError, with the name of the checkpoint, where reading it fails in any process."""
    with together():
        try:
            yield
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{folder}: cannot be resumed from ({reason}); delete this folder to resume from the"
                " checkpoint before it, or start again with --overwrite"
            ) from error


def check_moments(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError where what `optimizer` knows of a weight is missing or has not the weight's shape."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if not state:
                raise ValueError("the optimiser's state lacks a weight")
            for name, value in state.items():
                if torch.is_tensor(value) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(
                        f"the optimiser's {name} has shape {tuple(value.shape)},"
                        f" its weight {tuple(parameter.shape)}"
                    )
