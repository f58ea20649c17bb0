"""The timed part of a training run: whole steps, each with the loading of its batch."""

import math
import time
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState

from mixbench.errors import MixbenchError
from mixbench.experiments.matmul_peak import synchronise


class StepWindow(TrainerCallback):
    """Time the steps after the first `warm_up`, from the end of one step to the end of the last.

    The device is waited for at both ends and nowhere between. Nothing is logged or saved: a long run does
    either once in many steps, and a log waits for the device.
    """

    def __init__(self, warm_up: int, device: torch.device) -> None:
        self.warm_up = warm_up
        self.device = device
        self.started: float | None = None
        self.seconds: float | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.started = self.seconds = None

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_log = control.should_save = False
        if state.global_step == self.warm_up:
            synchronise(self.device)
            self.started = time.perf_counter()
        elif state.global_step == state.max_steps and self.started is not None:
            synchronise(self.device)
            self.seconds = time.perf_counter() - self.started


def timed_training(name: str, trainer: Trainer, window: StepWindow) -> float:
    """Train once, and return the seconds of the steps that `window`, one of the trainer's callbacks, times.

    Raises:
        MixbenchError: the loss is not finite, so what was timed is no training.
    """
    loss = trainer.train().training_loss
    if not math.isfinite(loss):
        raise MixbenchError(f"the mean loss of {name} is {loss}; give another --seed")
    assert window.seconds is not None
    return window.seconds
