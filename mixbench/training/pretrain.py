"""Pretraining: the tokens of each window, the next or its own, with AdamW, a warm-up and a cosine.

Same model, text, configuration and machine: same weights, whether or not the run was stopped and resumed in
between. On a GPU the text lies there, and nothing waits for the device but the log, a hundred times in a run.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from mixbench.errors import MixbenchError
from mixbench.training.language_checkpoint import History, load_checkpoint, make_optimizer, save_checkpoint
from mixbench.training.language_config import FREE_ON_RESUME, PretrainConfig
from mixbench.training.language_loss import Head, HeadLoss, States, token_loss
from mixbench.training.language_record import LanguageOutcome, TextRead, language_files
from mixbench.training.record import Origin, weights_sha256
from mixbench.training.tokens import split_tokens
from mixbench.training.windows import Windows
from mixbench.training.workspace import Workspace

HELD_WINDOWS = 512
"""Windows of held-out text, at most, that a validation loss is the mean of."""
LOGS = 100

Report = Callable[[int, float, float | None], None]
"""Told now and then: the step, the training loss since the last time, the validation loss if just taken."""


class Language(Protocol):
    """What is trained: a module with the parts of `LanguageModel` or `Autoencoder` of `mixbench.models`."""

    context: int
    ahead: int
    """How many places after a token that stands which is predicted of it."""
    tokenizer: PreTrainedTokenizerFast

    @property
    def states(self) -> nn.Module:
        """Module from ids (B, T) to states (B, T, d)."""

    @property
    def head(self) -> Head:
        """Module from states to logits (..., V)."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield every weight once."""

    def files(self) -> Mapping[str, bytes]:
        """Return files, by name, that the model's folder holds beside the encoder's."""


def pretrain(
    model: SentenceTransformer,
    language: Language,
    text: TextRead,
    config: PretrainConfig,
    output: Path,
    *,
    origin: Origin,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = lambda step, loss, validation: None,
) -> Path:
    """Train `language`, which shares the weights of `model`, and write the new model folder `output`.

    The folder is an encoder's, with the head of the language model, the record (mixbench.json), a card and
    the curve (loss.svg). A run that `max_minutes` stopped, that was killed or that failed keeps its last
    checkpoint in `.<name>.training` beside the output: `resume` continues it, a finished run removes it.

    Raises:
        InputError: too little text, an output that exists, or nothing fitting to resume.
        MixbenchError: the loss or a weight is no longer finite; names the last good checkpoint.
    """
    workspace = Workspace(output)
    workspace.check(resume, overwrite)
    run = PretrainRun(model, language, text, config, workspace.folder, report)
    base_weights = weights_sha256(model)
    head = {name: content.hex() for name, content in language.files().items()}
    plan = {"kind": "pretrain", "steps": run.steps, "text": [list(each) for each in text.sources]}
    free = {key: value for key, value in asdict(config).items() if key not in FREE_ON_RESUME}
    checkpoint = workspace.open({**plan, **free, "base_weights_sha256": base_weights, "head": head}, resume)
    stopped = run.to_end(checkpoint)
    outcome = LanguageOutcome(
        history=run.history,
        planned_steps=run.steps,
        stopped=stopped,
        tokens_seen=run.history.step * run.batch_tokens,
        unique_tokens=run.unique_tokens,
        held_tokens=run.held_tokens,
        held_losses=run.held_losses().tolist(),
        peak_memory_bytes=run.peak_memory(),
        parameters=sum(each.numel() for each in run.network.parameters()),
        device=torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "CPU",
        precision="bf16" if run.bf16 else "fp32",
        base_weights_sha256=base_weights,
    )
    files: dict[str, str | bytes] = {**language.files()}
    files |= language_files(output.name, origin, config, text, outcome)
    return workspace.publish_files(model, files, finished=not stopped)


def _named(text: TextRead) -> str:
    return ", ".join(source.place for source in text.sources)


class PretrainRun:
    """One run: its windows, its optimiser, and how far it is. Checkpoints go to `folder`."""

    def __init__(
        self,
        model: SentenceTransformer,
        language: Language,
        text: TextRead,
        config: PretrainConfig,
        folder: Path,
        report: Report,
    ) -> None:
        assert isinstance(language, nn.Module)
        self.network: nn.Module = language.eval()  # no dropout: resuming then needs no random state
        self.config, self.folder, self.report, self.device = config, folder, report, model.device
        self.states: States = language.states
        self.summed = HeadLoss(language.head)
        self.ahead = language.ahead
        end = int(language.tokenizer.eos_token_id)
        train_N, held_N = split_tokens(text.ids_N, end, language.context, config.seed, _named(text))
        self.unique_tokens, self.held_tokens = len(train_N), len(held_N)
        self.windows = Windows(train_N, language.context, config.seed, self.device)
        self.held = Windows(held_N, language.context, config.seed, self.device).evenly(HELD_WINDOWS)
        self.steps = config.max_steps or math.ceil(self.windows.count / config.batch_size)
        self.every = min(self.steps, config.eval_every or max(1, self.steps // 10))
        self.log_every = max(1, min(self.every, self.steps // LOGS))
        self.batch_tokens = config.batch_size * language.context
        self.bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.optimizer = make_optimizer(self.network, config.learning_rate, config.weight_decay)
        self.history = History()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def to_end(self, checkpoint: Path | None) -> bool:
        """Train to the last step or the deadline; return whether it was the deadline."""
        if checkpoint is not None:
            self.history = load_checkpoint(checkpoint, self.network, self.optimizer)
        else:
            self.history.validation[0], self.history.clock[0] = self.validation_loss(), 0.0
            self.report(0, self.history.validation[0], self.history.validation[0])
        states, summed = self.compiled() if self.config.compile else (self.states, self.summed)
        deadline = time.monotonic() + 60 * (self.config.max_minutes or math.inf)
        mark, logged, total = time.monotonic(), self.history.step, torch.zeros((), device=self.device)
        stopped = False
        while self.history.step < self.steps and not stopped:
            total += self.step(states, summed)
            step = self.history.step
            stopped = time.monotonic() > deadline and step < self.steps
            evaluated = step % self.every == 0 or step == self.steps
            if not (evaluated or stopped or step % self.log_every == 0):
                continue
            self._log(float(total) / (step - logged))  # waits for the device
            self.history.seconds += time.monotonic() - mark
            if evaluated or stopped:
                self._keep(evaluated)
            self.report(step, self.history.losses[-1][1], self.history.validation.get(step))
            mark, logged = time.monotonic(), step
            total.zero_()
        return stopped

    def step(self, states: States, summed: HeadLoss) -> Tensor:
        """Make the next optimiser step by `states` and `summed`, as they are or compiled; return its loss."""
        ids_BW = self.windows.batch(self.history.step, self.config.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.history.step, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            loss = token_loss(states, summed, ids_BW, self.ahead)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        self.history.step += 1
        return loss.detach()

    def _log(self, loss: float) -> None:
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss}")
        self.history.losses.append((self.history.step, loss))

    def _keep(self, evaluate: bool) -> None:
        """Take the validation loss if asked to, and write a checkpoint of weights that are all finite."""
        for name, value in self.network.named_parameters():
            if not value.isfinite().all():
                self._diverged(f"weight {name!r} is not finite")
        if evaluate:
            loss = self.validation_loss()
            if not math.isfinite(loss):
                self._diverged(f"the loss on held-out text is {loss}")
            self.history.validation[self.history.step] = loss
            self.history.clock[self.history.step] = self.history.seconds
        save_checkpoint(self.folder, self.network, self.optimizer, self.history)

    def _diverged(self, what: str) -> None:
        kept = next(self.folder.glob("checkpoint-*"), None)
        saved = f"the last good checkpoint is {kept}" if kept else "no checkpoint was written before"
        raise MixbenchError(
            f"training diverged at step {self.history.step}: {what}; {saved};"
            f" start again with a learning rate below {self.config.learning_rate:g}"
        )

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the mean loss of the held-out windows."""
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        with self._precision():
            for ids_BW in torch.split(self.held, self.config.batch_size):
                total += token_loss(self.states, self.summed, ids_BW, self.ahead).double() * len(ids_BW)
        return float(total) / len(self.held)

    @torch.no_grad()
    def held_losses(self) -> Tensor:
        """Return the loss (windows,) of each held-out window, on the CPU."""
        with self._precision():
            losses = [
                token_loss(self.states, self.summed, ids_BW, self.ahead)
                for ids_BW in torch.split(self.held, 1)
            ]
        return torch.stack(losses).cpu()

    def peak_memory(self) -> int | None:
        """Return the most bytes that tensors have had on the GPU since the run began; None on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def compiled(self) -> tuple[States, HeadLoss]:
        """Compile states and loss, by one batch whose gradients are dropped, before the clock starts."""
        states = torch.compile(self.states, dynamic=False)
        summed = HeadLoss(self.summed.head, compiled=True)
        with self._precision():
            loss = token_loss(states, summed, self.windows.batch(0, self.config.batch_size), self.ahead)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad(set_to_none=True)
        return states, summed

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.bfloat16) if self.bf16 else nullcontext()
