"""Checkpoints of pretraining: weights, AdamW's moments and the history, none of them pickled."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mixbench.errors import CheckpointError
from mixbench.files import parse_json
from mixbench.full_disk import writing
from mixbench.training.resuming import check_moments
from mixbench.training.workspace import STATE_FILE

WEIGHTS_FILE, MOMENTS_FILE = "weights.safetensors", "optimizer.safetensors"


@dataclass
class History:
    """What a run has done so far: `seconds` are those of its steps, without checks and checkpoints.

    `losses` holds (step, mean training loss since the step before in it), `validation` step -> loss, `clock`
    step -> seconds for the same steps.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    clock: dict[int, float] = field(default_factory=dict)


def make_optimizer(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW, fused on a GPU, that decays matrices and leaves vectors."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    on_gpu = parameters[0].is_cuda
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=on_gpu)


def save_checkpoint(folder: Path, network: nn.Module, optimizer: torch.optim.AdamW, history: History) -> Path:
    """Write `checkpoint-STEP` in `folder`, whole or not at all, and then drop the one before.

    Raises:
        MixbenchError: no space is left for it; the checkpoint before stays.
    """
    made, staged = folder / f"checkpoint-{history.step}", folder / "writing"
    shutil.rmtree(staged, ignore_errors=True)
    weights = {name: value.detach().contiguous() for name, value in network.named_parameters()}
    moments = {
        f"{number}.{key}": value.contiguous()
        for number, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }
    try:
        with writing(made):
            staged.mkdir(parents=True)
            save_file(weights, staged / WEIGHTS_FILE)
            save_file(moments, staged / MOMENTS_FILE)
            (staged / STATE_FILE).write_text(json.dumps(asdict(history)) + "\n")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    shutil.rmtree(made, ignore_errors=True)
    staged.rename(made)
    for other in folder.glob("checkpoint-*"):
        if other != made:
            shutil.rmtree(other)
    return made


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.AdamW) -> History:
    """Put a checkpoint back, bit for bit, and return its history.

    Raises:
        CheckpointError: a file is missing, damaged or of another model.
    """
    try:
        weights, moments = load_file(path / WEIGHTS_FILE), load_file(path / MOMENTS_FILE)
        stated = parse_json((path / STATE_FILE).read_text())
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if weights[name].shape != parameter.shape:  # copy_ would broadcast
                    found, wanted = tuple(weights[name].shape), tuple(parameter.shape)
                    raise ValueError(f"{WEIGHTS_FILE}: {name!r} has shape {found}, the model's has {wanted}")
                parameter.copy_(weights[name])
        states: dict[int, dict[str, Any]] = {}
        for key, value in moments.items():
            number, _, kind = key.partition(".")
            states.setdefault(int(number), {})[kind] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
        check_moments(optimizer)
        losses = [(int(step), float(loss)) for step, loss in stated["losses"]]
        validation = {int(step): float(loss) for step, loss in stated["validation"].items()}
        clock = {int(step): float(seconds) for step, seconds in stated["clock"].items()}
        return History(int(stated["step"]), float(stated["seconds"]), losses, validation, clock)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: cannot be resumed from ({reason}); start again with --overwrite"
        ) from error
