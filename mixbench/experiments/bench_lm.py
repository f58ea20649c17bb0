"""`mixbench bench lm`: steps of language modelling of several models, timed in turn, each on as many tokens.

The step is that of `pretrain`: its windows, loss, clipping and optimiser. A batch has the windows that make
the tokens asked for, so that models of different contexts do as much a step.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from mixbench.data.texts import TextSource
from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import CANNOT_RUN, leave_out, take_turns
from mixbench.experiments.bench_encode_models import build_shaped
from mixbench.experiments.bench_lm_original import MODEL, OriginalContender
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.device_memory import DeviceMemory
from mixbench.experiments.lineage import command_line
from mixbench.experiments.matmul_peak import MatmulPeak, copy_bandwidth, matmul_peak, synchronise
from mixbench.experiments.model_work import PASSES, count_parameters, embedding_parameters, language_flops
from mixbench.models.language_model import LanguageModel
from mixbench.models.load import place
from mixbench.models.mixer import MaskedMixer
from mixbench.training.language_config import PretrainConfig
from mixbench.training.language_record import TextRead
from mixbench.training.pretrain import PretrainRun

RULE = "operations: 3 x the matrix products of the forward pass, the logits' too; 2 a multiply-add"
ORIGINAL = "by transformers' Trainer, in float16 on a GPU, not compiled"
COLUMNS = {
    "context": "{context:,}",
    "parameters": "{parameters:,}",
    "no embedding": "{parameters_without_embedding:,}",
    "GFLOP/s": "{giga_flops_per_second:,.1f}",
    "of peak": "{share_of_peak:.1%}",
    "memory": "{memory_mb:,.0f} MB",
}


@dataclass(frozen=True, kw_only=True)
class LmBenchSettings:
    """What all models are given. A round is `steps` steps of `tokens` tokens; `warm_up` are not timed.

    Raises:
        InputError: a number is below 1.
    """

    tokens: int = 16_384
    steps: int = 10
    rounds: int = 5
    warm_up: int = 1
    compile: bool = False
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        InputError.check_least(
            1, tokens=self.tokens, steps=self.steps, rounds=self.rounds, warm_up=self.warm_up
        )


class LmContender:
    """A model that learns random tokens; its weights and moments stay in memory between rounds.

    Raises:
        InputError: it is no language model, or a step has fewer tokens than its context.
    """

    def __init__(self, name: str, settings: LmBenchSettings) -> None:
        self.name, self._steps = name, settings.steps
        self.memory = DeviceMemory(torch.device(settings.device))
        with self.memory.counted():
            self._make(name, settings)

    def _make(self, name: str, settings: LmBenchSettings) -> None:
        self.model = model = place(build_shaped(name, settings.seed), settings.device)
        language = LanguageModel(model)
        self.context = language.context
        if settings.tokens < self.context:
            raise InputError(f"{name} reads {self.context} tokens; give --tokens {self.context} or more")
        self.batch_size = settings.tokens // self.context
        self.parameters = count_parameters(model)
        self.parameters_without_embedding = self.parameters - embedding_parameters(model)
        config = PretrainConfig(
            max_steps=1_000_000,  # so many that the rate is what it is in the middle of a run
            batch_size=self.batch_size,
            compile=settings.compile,
            seed=settings.seed,
        )
        text = _random_text(len(language.tokenizer), settings.tokens, self.context, settings.seed)
        with tempfile.TemporaryDirectory() as folder:  # nothing is written there
            self.run = PretrainRun(model, language, text, config, Path(folder), lambda *_: None)
        self.flops_per_token = language_flops(language)
        self.layers = self.run.compiled() if settings.compile else (self.run.states, self.run.summed)

    @property
    def tokens(self) -> int:
        """Tokens of a round."""
        return self._steps * self.batch_size * self.context

    def run_round(self) -> float:
        """Make the steps, and return their seconds. Raises MixbenchError for a loss that is not finite."""
        with self.memory.counted():
            synchronise(self.run.device)
            start = time.perf_counter()
            for _ in range(self._steps):
                loss = self.run.step(*self.layers)
            synchronise(self.run.device)
            seconds = time.perf_counter() - start
            self.run.optimizer.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(loss)):
            raise MixbenchError(f"the loss of {self.name} is {float(loss)}; give another --seed")
        return seconds


def bench_lm(names: Sequence[str], settings: LmBenchSettings, *, original: Path | None = None) -> BenchReport:
    """Time language modelling by untrained models called "PRESET" or "PRESET[FIELD=VALUE,...]".

    One other than the first that cannot be trained so is left out, and a note says why. `original` is a
    script of the original implementation, whose model takes part in the shape of the first.

    Raises:
        UnknownName: there is no such preset.
        InputError: no model is named, or one twice; or the original cannot be had in that shape.
        MixbenchError: the first model cannot be trained so.
    """
    if not names:
        raise InputError("no model to time; name a preset, as small")
    if len(set(names)) < len(names):
        raise InputError("a model is named twice; name each once")
    notes: list[str] = [RULE]
    contenders: list[LmContender | OriginalContender] = []
    for number, name in enumerate(names):
        try:
            contenders.append(LmContender(name, settings))
        except UnknownName:
            raise
        except CANNOT_RUN as error:
            leave_out(name, error, notes, first=number == 0)
    first = contenders[0]
    assert isinstance(first, LmContender)
    if original is not None:
        try:
            contenders.append(_original(original, first, settings))
            notes.append(f"original: {MODEL} of {original.name} {ORIGINAL}")
        except InputError:
            raise
        except CANNOT_RUN as error:
            leave_out("original", error, notes, first=False)
    take_turns(contenders, settings.warm_up, notes, called="warm-up")
    seconds = take_turns(contenders, settings.rounds, notes)
    bf16 = first.run.bf16
    peak = matmul_peak(settings.device, torch.bfloat16 if bf16 else torch.float32, seed=settings.seed)
    bandwidth = copy_bandwidth(settings.device)
    provenance = describe_run(command=command_line(sys.argv[1:]), device=settings.device, seed=settings.seed)
    return BenchReport(
        title="Language modelling, one step after another",
        unit="tokens",
        per_round=first.tokens,
        settings=asdict(settings) | _held(peak, bandwidth, "bf16" if bf16 else "fp32"),
        rows=[_row(*timed, first.tokens, peak) for timed in zip(contenders, seconds, strict=True)],
        against=[first.name],
        columns=COLUMNS,
        notes=notes,
        provenance=provenance.model_dump(),
    )


def _original(script: Path, first: LmContender, settings: LmBenchSettings) -> OriginalContender:
    if not isinstance(first.model[0], MaskedMixer):
        raise InputError(f"--original has the shape of the first model, and {first.name} is no mixer")
    shape = first.model[0].config
    if shape.changed or shape.expansion != 4:
        raise InputError(
            f"--original is a flat mixer of expansion 4, and {first.name} is another; name small"
        )
    return OriginalContender(
        script,
        width=shape.width,
        depth=shape.depth,
        context=first.context,
        vocabulary=len(first.model.tokenizer),
        batch_size=first.batch_size,
        steps=settings.steps,
        device=settings.device,
        seed=settings.seed,
    )


def _row(
    contender: LmContender | OriginalContender, seconds: Sequence[float], tokens: int, peak: MatmulPeak
) -> BenchRow:
    # A context that does not divide the tokens leaves some out: seconds are those of as many as the first's.
    seconds = [each * tokens / contender.tokens for each in seconds]
    pace = median(tokens / each for each in seconds) * PASSES * contender.flops_per_token
    memory = contender.memory.most
    figures: dict[str, Any] = {
        "context": contender.context,
        "batch_size": contender.batch_size,
        "parameters": contender.parameters,
        "parameters_without_embedding": contender.parameters_without_embedding,
        "forward_flops_per_token": contender.flops_per_token,
        "giga_flops_per_second": pace / 1e9,
        "share_of_peak": pace / peak.flops_per_second,
        "memory_bytes": memory,
        "memory_mb": None if memory is None else memory / 1e6,
    }
    return BenchRow(name=contender.name, settings="", seconds=seconds, figures=figures)


def _held(peak: MatmulPeak, bandwidth: float, precision: str) -> dict[str, Any]:
    return {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "peak_gflops": round(peak.flops_per_second / 1e9, 1),
        "peak_of": f"torch.matmul of {peak.size} x {peak.size} {peak.dtype}",
        "copy_gigabytes_a_second": round(bandwidth / 1e9, 1),
    }


def _random_text(vocabulary: int, tokens: int, context: int, seed: int) -> TextRead:
    """Return ids that fill some batches, beside what is held out."""
    count = 4 * max(tokens, 4 * context) + 4 * context
    ids_N = np.random.default_rng(seed).integers(2, vocabulary, count).astype(np.uint16)
    source = TextSource(name="random tokens", place="random tokens", sha256="")
    return TextRead(ids_N=ids_N, sources=[source])
