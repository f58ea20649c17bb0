"""`mixbench bench train`: the training step of several models, timed in turn on the same batches.

The step is that of `train-retriever`: its trainer, loss, optimiser and loading of batches. Models take turns
(A B C A B C ...), so that whatever else the machine does meanwhile slows all of them alike; a model is
compared with the first in the same round.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

from mixbench.data.pairs import Pairs
from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import CANNOT_RUN, leave_out, take_turns
from mixbench.experiments.bench_train_inputs import TrainBenchSettings, bench_pairs, check_batches
from mixbench.experiments.bench_train_report import TrainBench, TrainRow
from mixbench.experiments.lineage import command_line
from mixbench.experiments.matmul_peak import matmul_peak
from mixbench.experiments.training_contender import Contender
from mixbench.models import PRESETS, build_model

Named = tuple[str, SentenceTransformer]


def bench_presets(
    presets: Sequence[str], settings: TrainBenchSettings, pairs: Path | None = None
) -> TrainBench:
    """Time the training of untrained models of `presets`, on the pairs in a file or on synthetic ones.

    Raises:
        UnknownName: there is no such preset.
        InputError: pairs or settings cannot be used.
        MixbenchError: the first model cannot be trained so.
    """
    for preset in presets:
        if preset not in PRESETS:
            raise UnknownName.of("preset", preset, PRESETS)
    data = bench_pairs(settings, pairs)
    models = [(preset, build_model(preset, seed=settings.seed)) for preset in presets]
    return bench_training(models, data, settings, command=command_line(sys.argv[1:]))


def bench_training(
    models: Sequence[Named], pairs: Pairs, settings: TrainBenchSettings, *, command: str = "bench train"
) -> TrainBench:
    """Time the training of named `models`, in place, on `pairs`.

    A model other than the first that cannot be trained so is left out, and a note says why.

    Raises:
        InputError: the pairs do not fill the batches.
        MixbenchError: the first model cannot be trained so.
    """
    if not models:
        raise InputError("no model to time; name a preset, as small")
    check_batches(pairs, settings)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mixbench-bench-") as work:
        contenders = _contenders(models, pairs, settings, Path(work), notes)
        bf16 = contenders[0].trainer.args.bf16
        peak = matmul_peak(settings.device, torch.bfloat16 if bf16 else torch.float32, seed=settings.seed)
        seconds = take_turns(contenders, settings.rounds, notes)
    return TrainBench(
        settings={
            **asdict(settings),
            "precision": "bf16" if bf16 else "fp32",
            "pairs": pairs.name,
            "pairs_sha256": pairs.sha256[:12],
            "query_tokens": settings.query_tokens if pairs.name == "synthetic" else "as they are",
            "threads": torch.get_num_threads(),
        },
        pairs_per_round=settings.steps * settings.batch_size,
        rows=[_row(contender, times) for contender, times in zip(contenders, seconds, strict=True)],
        peak=asdict(peak),
        notes=notes,
        provenance=describe_run(command=command, device=settings.device, seed=settings.seed).model_dump(),
    )


def _contenders(
    models: Sequence[Named], pairs: Pairs, settings: TrainBenchSettings, work: Path, notes: list[str]
) -> list[Contender]:
    contenders: list[Contender] = []
    for number, (name, model) in enumerate(models):
        try:
            contenders.append(
                Contender(
                    name, model, pairs, settings.config(),
                    device=settings.device, length=settings.tokens, warm_up=settings.warm_up,
                    work=work / str(number),
                )
            )  # fmt: skip
        except CANNOT_RUN as error:
            leave_out(name, error, notes, first=number == 0)
    return contenders


def _row(contender: Contender, seconds: Sequence[float]) -> TrainRow:
    return TrainRow(
        name=contender.name,
        parameters=contender.parameters,
        parameters_without_embedding=contender.parameters_without_embedding,
        tokens_per_pair=contender.tokens_per_pair,
        forward_flops_per_pair=contender.forward_flops_per_pair,
        seconds=seconds,
        peak_memory_bytes=contender.memory.most,
    )
