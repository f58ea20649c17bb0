"""What happens beside the steps: a deadline, an average, and word to the person who waits."""

import logging
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState

from mixbench.training.averaging import WeightAverage
from mixbench.training.dev import METRIC
from mixbench.training.processes import first

logger = logging.getLogger("mixbench.training")


class Deadline(TrainerCallback):
    """Stop at the first step that ends after `minutes` by the first process's clock; leave a checkpoint.

    It asks for no dev score, so that a resumed run's history is a straight run's.
    """

    def __init__(self, minutes: float | None) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.started = time.monotonic()
        self.stopped = False

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        limit = self.seconds
        if limit is None or state.global_step >= state.max_steps:
            return
        if first(lambda: time.monotonic() - self.started > limit):
            self.stopped = control.should_training_stop = control.should_save = control.should_log = True


class LastStep(TrainerCallback):
    """Log, score and save the last step, whatever step it is."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = control.should_save = True
            control.should_evaluate = str(args.eval_strategy.value) == "steps"


class Averaging(TrainerCallback):
    """Take each step's weights into the average."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.average.update(state.global_step)


class Report(TrainerCallback):
    """A progress bar on stderr where that is a terminal and `bar` allows it, else log lines."""

    def __init__(self, bar: bool) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps {task.fields[news]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (bar and console.is_terminal),
        )
        self.task: TaskID | None = None
        self.loss = self.dev = ""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.task = self.bar.add_task("", total=state.max_steps, completed=state.global_step, news="")
        self.bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.task is not None:
            self.bar.update(self.task, completed=state.global_step)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.loss = f"loss {logs['loss']:.4f} "
        elif logs and f"eval_{METRIC}" in logs:
            self.dev = f"dev {logs[f'eval_{METRIC}']:.4f}"
        else:
            return
        if self.task is not None:
            self.bar.update(self.task, news=self.loss + self.dev)
        if self.bar.disable and state.is_world_process_zero:
            logger.info("step %d/%d %s%s", state.global_step, state.max_steps, self.loss, self.dev)

    def close(self) -> None:
        """Give the terminal back; also after an error."""
        self.bar.stop()
