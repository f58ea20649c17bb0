"""Training: cosine InfoNCE with in-batch negatives, a teacher or both, by sentence-transformers' trainer.

Same model, pairs, configuration and machine: same weights, whether or not the run was stopped and resumed in
between. The checkpoint is chosen on dev pairs; this module never sees a test query.
"""

import logging
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from mixbench.data.pairs import Pairs, PairSource, weighted
from mixbench.errors import InputError
from mixbench.retrievers.attention import attention_of_any_shape
from mixbench.retrievers.lengths import limit_length
from mixbench.training.batches import OneSourceBatches
from mixbench.training.callbacks import Deadline, LastStep, Report
from mixbench.training.config import FREE_ON_RESUME, TrainConfig
from mixbench.training.dev import METRIC, dev_evaluator
from mixbench.training.distill import Teacher
from mixbench.training.hard_negatives import without_dev_passages
from mixbench.training.objective import check_loss
from mixbench.training.processes import count, first, join, number, together
from mixbench.training.record import Origin, Outcome, make_record, weights_sha256
from mixbench.training.trainer import CheckpointTrainer, build_trainer
from mixbench.training.workspace import Rework, Workspace, as_it_is


def train_retriever(
    model: SentenceTransformer,
    sources: Sequence[PairSource],
    config: TrainConfig,
    output: Path,
    *,
    origin: Origin,
    dev: Sequence[Pairs] = (),
    teacher: Teacher | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    rework: Rework = as_it_is,
) -> Path:
    """Train `model` in place, on its own device, and write it to the new folder `output`.

    The folder is a sentence-transformers model with its record (mixbench.json) and a card (README.md). With
    `dev` pairs the weights are those of the checkpoint with the best dev nDCG@10, else the last. A run that
    `max_minutes` stopped, that was killed or that failed keeps its checkpoints in `.<name>.training` beside
    the output: `resume` continues it, and a finished run removes them. A `teacher` is recorded as the
    origin's, and what it was trained on as inherited. `rework` changes the folder before it is put in place.

    Of several processes, started by torchrun or accelerate, each calls this with the same arguments and a
    model on its own device. They share each batch and all its negatives; the first writes what is written.

    Raises:
        InputError: no source, a source without a batch, an output that exists, nothing fitting to resume, or
            a configuration that this model cannot follow.
        MixbenchError: the loss or a weight is no longer finite; the last good checkpoint is kept.
    """
    if not sources:
        raise InputError("nothing to train on: give at least one source of pairs, as --pairs or --task")
    workspace = Workspace(output)
    join(str(model.device))
    with together():
        workspace.check(resume, overwrite)
        if config.max_length is not None:
            limit_length(model, config.max_length)
        check_loss(model, config, teacher is not None)
    dev = [pairs for pairs in dev if len(pairs)]
    if config.hard_negatives:
        sources = without_dev_passages(sources, dev)
    with _quiet():
        outcome = _fit(model, sources, config, workspace, dev, teacher, resume, progress, origin.base)
        record = make_record(
            origin if teacher is None else origin.taught_by(teacher.card), config, sources, dev, outcome
        )
        return first(lambda: workspace.publish(model, record, not outcome.stopped, rework))


def _fit(
    model: SentenceTransformer,
    sources: Sequence[PairSource],
    config: TrainConfig,
    workspace: Workspace,
    dev: Sequence[Pairs],
    teacher: Teacher | None,
    resume: bool,
    progress: bool,
    base: str,
) -> Outcome:
    """Train, and leave the weights to keep in `model`."""
    base_weights = weights_sha256(model)
    train = [weighted(source.pairs, source.weight, config.seed) for source in sources]
    evaluator = dev_evaluator(dev, train, config.seed) if dev else None
    trainer = build_trainer(model, train, config, workspace.folder, evaluator, teacher)
    taught = {} if teacher is None else {"teacher_sha256": teacher.card.sha256}
    plan = _plan(config, sources, dev, base, base_weights) | taught
    checkpoint = first(lambda: workspace.open(plan, resume))
    scores = {0: _score(evaluator, model)} if evaluator else {}
    started = time.monotonic()
    stopped = _train(trainer, config, checkpoint, progress)
    seconds = time.monotonic() - started
    best = _restore_best(trainer, evaluator, scores)
    return Outcome(
        **_counts(trainer, checkpoint),
        **_setting(trainer),
        best_step=best,
        stopped=stopped,
        seconds=seconds,
        losses=[
            (int(entry["step"]), entry["loss"]) for entry in trainer.state.log_history if "loss" in entry
        ],
        dev_scores=scores,
        base_weights_sha256=base_weights,
    )


def _plan(
    config: TrainConfig, sources: Sequence[PairSource], dev: Sequence[Pairs], base: str, base_weights: str
) -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(config).items() if key not in FREE_ON_RESUME},
        "sources": [[source.pairs.name, source.pairs.sha256, source.weight] for source in sources],
        "dev": [[pairs.name, pairs.sha256] for pairs in dev],
        "base": base,  # two shapes of a mixer can have the same weights
        "base_weights_sha256": base_weights,
    }


def _train(trainer: CheckpointTrainer, config: TrainConfig, checkpoint: Path | None, progress: bool) -> bool:
    """Run the trainer to its end or its deadline; return whether it was the deadline."""
    deadline, report = Deadline(config.max_minutes), Report(progress and number() == 0)
    if number():
        torch.manual_seed(config.seed + number())  # dropout that differs from the first process's
    trainer.remove_callback(PrinterCallback)
    for callback in (LastStep(), deadline, report):
        trainer.add_callback(callback)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        report.close()
    with together():
        trainer.check_finite()
    return deadline.stopped


def _restore_best(
    trainer: CheckpointTrainer, evaluator: InformationRetrievalEvaluator | None, scores: dict[int, float]
) -> int:
    """Leave the best weights by dev score, the earliest among equals, in the model; return their step.

    Adds the run's scores to `scores`; a run stopped between two scores is scored where it stopped.
    """
    state = trainer.state
    last: int = state.global_step
    trainer.settle()
    if evaluator is None:
        return last
    key = f"eval_{METRIC}"
    scores.update({int(entry["step"]): entry[key] for entry in state.log_history if key in entry})
    if last not in scores:
        scores[last] = _score(evaluator, trainer.model)
    best: int | None = state.best_global_step
    if best is None or best == last or scores[last] > scores[best]:
        return last
    trainer.settle(best)
    return best


@attention_of_any_shape()
def _score(evaluator: InformationRetrievalEvaluator, model: SentenceTransformer) -> float:
    return first(lambda: float(evaluator(model)[METRIC]))


def _counts(trainer: CheckpointTrainer, checkpoint: Path | None) -> dict[str, Any]:
    """Count steps and the pairs in them, by making the batches again."""
    first = int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0
    last = trainer.state.global_step
    sizes = _batch_sizes(trainer.batches, last)
    return {
        "steps": last,
        "planned_steps": trainer.state.max_steps,
        "resumed_from": first,
        "examples": sum(sizes),
        "timed_examples": sum(sizes[first:]),
    }


def _batch_sizes(batches: OneSourceBatches, steps: int) -> list[int]:
    sizes: list[int] = []
    epoch = 0
    while len(sizes) < steps:
        batches.set_epoch(epoch)
        sizes.extend(map(len, batches))
        epoch += 1
    return sizes[:steps]


def _setting(trainer: CheckpointTrainer) -> dict[str, Any]:
    on_gpu = trainer.args.device.type == "cuda"
    device = torch.cuda.get_device_name(trainer.args.device) if on_gpu else f"CPU ({platform.machine()})"
    return {
        "device": f"{count()} x {device}" if count() > 1 else device,
        "precision": "bf16" if trainer.args.bf16 else "fp32",
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own reports back: what matters here is logged or raised by us."""
    library = logging.getLogger("sentence_transformers")
    before, level = transformers_logging.get_verbosity(), library.level
    transformers_logging.set_verbosity(logging.ERROR)
    library.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # sentence-transformers sets it for accelerate, which hands it on to torch.
            warnings.filterwarnings("ignore", ".*broadcast_buffers.* is deprecated", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(before)
        library.setLevel(level)


__all__ = ["Origin", "TrainConfig", "train_retriever"]
