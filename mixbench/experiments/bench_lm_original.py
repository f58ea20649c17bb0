"""The original implementation of the paper as a peer of `bench lm`: its blocks, and the trainer that it uses.

Its scripts read data and train as they are imported. So of one only the definitions are run, with the two
values that these read beside their arguments. Its model is trained as it trains it: by transformers' Trainer,
in float16 on a GPU with float32 weights, by `adamw_torch`, not compiled, with logits and their loss whole.
Only its filter of losses that are not finite is off, since nobody would see that no step was made.
"""

import ast
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from mixbench.errors import InputError
from mixbench.experiments.device_memory import DeviceMemory
from mixbench.experiments.model_work import count_parameters
from mixbench.experiments.step_window import StepWindow, timed_training
from mixbench.retrievers.flops import count_flops

MODEL = "LanguageMixer"
ASKED = "give mixer_lm/mixer_trainer_fineweb.py of a checkout, and install einops"
WARM_UP = 3
"""Steps of each round that are not timed: the trainer makes its loader anew."""
READ = ("torch", "einops")
"""Packages that the definitions are given; what else a script imports, its model does not need."""


class OriginalContender:
    """`LanguageMixer` of `script`, a file of a checkout, on random tokens; weights stay between rounds.

    Raises:
        InputError: `script` cannot be read, does not define the model, or its definitions do not run here; or
            `device` is another than the CPU or the first GPU, which the trainer takes.
    """

    def __init__(
        self,
        script: Path,
        *,
        width: int,
        depth: int,
        context: int,
        vocabulary: int,
        batch_size: int,
        steps: int,
        device: str,
        seed: int,
    ) -> None:
        self.name = "original"
        self.context, self.batch_size, self._steps = context, batch_size, steps
        if device not in ("cpu", "cuda", "cuda:0"):
            raise InputError(f"--original trains on cpu or cuda:0, not on {device}")
        build = definitions(script, {"tokenized_length": context, "device": device})[MODEL]
        torch.manual_seed(seed)
        self.memory = DeviceMemory(torch.device(device))
        with self.memory.counted():
            self.model: nn.Module = build(vocabulary, width, depth).float().to(device)
        self.parameters = count_parameters(self.model)
        self.parameters_without_embedding = self.parameters - vocabulary * width
        self.window = StepWindow(WARM_UP, torch.device(device))
        text = _RandomTokens(vocabulary, context, batch_size * (steps + WARM_UP), seed)
        with torch.no_grad():
            row = text[0]["input_ids"][None].to(device)
            self.flops_per_token = count_flops(lambda: self.model(row, labels=row)) / context
        with TemporaryDirectory() as folder:  # nothing is written there
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=steps + WARM_UP,
                per_device_train_batch_size=batch_size,
                learning_rate=5e-4,
                warmup_steps=500,
                fp16=device != "cpu",
                use_cpu=device == "cpu",
                optim="adamw_torch",
                save_strategy="no",
                logging_strategy="no",
                logging_nan_inf_filter=False,
                report_to=[],
                disable_tqdm=True,
                seed=seed,
            )
            arguments._n_gpu = min(1, arguments.n_gpu)
            self.trainer = Trainer(self.model, arguments, train_dataset=text, callbacks=[self.window])
        self.trainer.remove_callback(PrinterCallback)

    @property
    def tokens(self) -> int:
        """Tokens of a round."""
        return self._steps * self.batch_size * self.context

    def run_round(self) -> float:
        """Train, and return the seconds of the timed steps. Raises MixbenchError for a loss not finite."""
        with self.memory.counted():
            return timed_training(self.name, self.trainer, self.window)


def definitions(script: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Return what `script` defines, functions and classes, which find `values` among their globals.

    Raises:
        InputError: it cannot be read, is no Python, lacks the model, or does not run here.
    """
    try:
        tree = ast.parse(script.read_text(encoding="utf-8"), str(script))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"--original {script}: cannot be read as Python ({error}); {ASKED}") from error
    tree.body = [node for node in tree.body if _is_kept(node)]
    found: dict[str, Any] = {"__name__": "original", **values}
    try:
        exec(compile(tree, str(script), "exec"), found)
    except Exception as error:  # what others' code may raise
        raise InputError(f"--original {script}: its definitions fail ({error}); {ASKED}") from error
    if MODEL not in found:
        raise InputError(f"--original {script}: defines no {MODEL}; {ASKED}")
    return found


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(name.name.split(".")[0] in READ for name in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] in READ
    return isinstance(node, ast.ClassDef | ast.FunctionDef)


class _RandomTokens(Dataset[dict[str, Tensor]]):
    """Windows of random tokens, each its own label."""

    def __init__(self, vocabulary: int, context: int, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._ids_NT = torch.randint(2, vocabulary, (count, context), generator=generator)

    def __len__(self) -> int:
        return len(self._ids_NT)

    def __getitem__(self, at: int) -> dict[str, Tensor]:
        return {"input_ids": self._ids_NT[at], "labels": self._ids_NT[at]}
