"""`mixbench train-retriever`: from names and files to a trained model folder."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixbench.data.cloze import cloze_pairs
from mixbench.data.load import load_data
from mixbench.data.pairs import Pairs, PairSource, exclude, hold_out, pairs_from_task, read_pairs
from mixbench.errors import InputError, MissingData
from mixbench.experiments import progress
from mixbench.experiments.lineage import command_line, started_from
from mixbench.experiments.shaping import changed_name, check_shrinkable, read_changes
from mixbench.experiments.teaching import find_teacher
from mixbench.experiments.terminal import Terminal
from mixbench.models import PRESETS
from mixbench.tasks import Task, find_tasks, load_task
from mixbench.training.config import TrainConfig
from mixbench.training.processes import in_turn, number

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from mixbench.training.distill import Teacher
    from mixbench.training.record import Origin

log = Terminal(stderr=True)


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Which pairs a run reads, and which of them it must not see.

    `files` and `texts` are "PATH" or "PATH:WEIGHT"; `tasks` give their train split. Of a text at most
    `text_pairs` pairs of a sentence and the rest of its passage are made. Of each source `dev_pairs`, but at
    most a twentieth, are held out to choose the checkpoint.
    """

    files: Sequence[str] = ()
    texts: Sequence[str] = ()
    text_pairs: int = 50_000
    tasks: Sequence[str] = ()
    exclude_tasks: Sequence[str] = ()
    licences: Sequence[str] = ()
    dev_pairs: int = 500
    tasks_dir: Path | None = None
    data_dir: Path | None = None


def run_training(
    base: str,
    pairs: PairOptions,
    config: TrainConfig,
    output: Path,
    *,
    device: str,
    settings: Sequence[str] = (),
    static: str | None = None,
    teacher: str | None = None,
    teacher_store: Path | None = None,
    model_licence: str = "",
    shrink: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train preset or model folder `base` on `pairs`, taught by `teacher`, and write the folder `output`.

    `settings` are "FIELD=VALUE" in place of what a mixer has. A preset starts as the model `static` where
    that is given, see `models/static_start.py`. `teacher_store` is the folder of teachers' embeddings, by
    default that of `teacher_places`. Several processes prepare in turn, and only the first of them speaks.
    """
    from mixbench.models.storage import shrink_folder
    from mixbench.training.contrastive import train_retriever
    from mixbench.training.record import RECORD_FILE, gained_nothing
    from mixbench.training.workspace import as_it_is

    log.quiet = progress.log.quiet = number() > 0

    def prepare() -> "tuple[SentenceTransformer, Origin, list[PairSource], list[Pairs], Teacher | None]":
        changes = read_changes(base, settings)
        model, origin = _open_base(base, changes, static, config.seed, device, model_licence)
        if shrink:
            check_shrinkable(model, base)
        sources, dev = read_sources(pairs, config.seed)
        taught_by = None if teacher is None else find_teacher(teacher, teacher_store, device)
        return model, origin, sources, dev, taught_by

    model, origin, sources, dev, taught_by = in_turn(prepare)
    train_retriever(
        model, sources, config, output,
        origin=origin, dev=dev, teacher=taught_by, resume=resume, overwrite=overwrite,
        rework=shrink_folder if shrink else as_it_is,
    )  # fmt: skip
    if gained_nothing(json.loads((output / RECORD_FILE).read_text())):
        log.print(
            f"[yellow]what {output.name} started from scores higher on dev pairs than any step since[/]"
        )
    return output


def _open_base(
    base: str, changes: dict[str, Any], static: str | None, seed: int, device: str, licence: str
) -> "tuple[SentenceTransformer, Origin]":
    """Return the model to start from, on its device, and where it comes from."""
    from mixbench.models import build_model
    from mixbench.models.build import reshape_mixer
    from mixbench.models.load import load_model, model_folder, place
    from mixbench.training.record import Origin

    command = command_line(sys.argv[1:])
    if base in PRESETS:
        origin = Origin(base=changed_name(base, changes), command=command, licence=licence)
        model = build_model(base, seed=seed, changes=changes)
        if static is not None:
            origin = _start_as_static(model, origin, static)
        return place(model, device), origin
    if static is not None:
        raise InputError(f"--static gives the first weights of a preset, and {base!r} has weights already")
    folder = model_folder(base)
    model = load_model(base)
    if changes:
        try:
            model = reshape_mixer(model, changes, seed)
        except ValueError as error:
            raise InputError(f"--set on {base!r}: {error}") from error
    origin = Origin(base=changed_name(Path(base).name, changes), command=command, licence=licence)
    return place(model, device), started_from(origin, folder)


def _start_as_static(model: "SentenceTransformer", origin: "Origin", static: str) -> "Origin":
    """Let `model` start as the static model of that name or folder; return its origin then."""
    from mixbench.models.load import load_model, model_folder
    from mixbench.models.static_start import start_as_static

    folder = model_folder(static)
    try:
        start_as_static(model, load_model(static))
    except ValueError as error:
        raise InputError(f"--static {static!r}: {error}") from error
    return started_from(replace(origin, base=f"{origin.base} from {folder.name}"), folder)


def read_sources(options: PairOptions, seed: int) -> tuple[list[PairSource], list[Pairs]]:
    """Read, clean and split every source; return what is trained on and what is held out for dev.

    Raises:
        InputError: a file or a weight cannot be used.
        MissingData: a task named in `options` has no data here.
    """
    named = [(read_pairs(path), weight) for path, weight in map(_path_and_weight, options.files)]
    for path, weight in map(_path_and_weight, options.texts):
        named.append((cloze_pairs(path, seed, options.text_pairs), weight))
    for name in options.tasks:
        task = load_task(name, options.tasks_dir)
        named += [(pairs, 1.0) for pairs in train_split_pairs(task, options.data_dir)]
    licences = dict(_licence(argument) for argument in options.licences)
    for unknown in licences.keys() - {pairs.name for pairs, _ in named}:
        raise InputError(f"--licence names {unknown!r}, which is no source of this run")
    sources, dev = [], []
    for pairs, weight in named:
        kept, counts = _without_tests(pairs, options)
        train, held = hold_out(kept, min(options.dev_pairs, len(kept) // 20), seed)
        sources.append(
            PairSource(
                pairs=train,
                weight=weight,
                licence=licences.get(pairs.name, ""),
                read_sha256=pairs.sha256,
                excluded=counts,
            )
        )
        dev += [held] if len(held) else []
    return sources, dev


def train_split_pairs(task: Task, data_dir: Path | None, *, offline: bool = False) -> list[Pairs]:
    """Return the pairs of a task's train split, a source for each of its parts.

    Raises InputError where the task has no such split, MissingData where its data is nowhere.
    """
    if task.train_split is None:
        raise InputError(f"task {task.name!r} has no train split; give pairs with --pairs")
    collections = load_data(task, data_dir=data_dir, split=task.train_split, offline=offline)
    return [pairs_from_task(task.name, data) for data in collections]


def _path_and_weight(argument: str) -> tuple[Path, float]:
    path, colon, weight = argument.rpartition(":")
    try:
        return (Path(path), float(weight)) if colon else (Path(argument), 1.0)
    except ValueError:
        return Path(argument), 1.0


def _licence(argument: str) -> tuple[str, str]:
    source, equals, licence = argument.partition("=")
    if not (source and equals and licence):
        raise InputError(f"--licence {argument!r}: give SOURCE=LICENCE, as in squad=CC-BY-SA-4.0")
    return source, licence


def _without_tests(pairs: Pairs, options: PairOptions) -> tuple[Pairs, dict[str, int]]:
    """Drop what would leak the excluded tasks and those that the source is in-domain for.

    A task that is only in-domain and has no data here cannot be looked at; that is said and recorded as -1.
    """
    asked = {load_task(name, options.tasks_dir).name for name in options.exclude_tasks}
    counts: dict[str, int] = {}
    for task in find_tasks(options.tasks_dir).values():
        if task.name not in asked and not _in_domain(pairs.name, task):
            continue
        try:
            data = load_data(task, data_dir=options.data_dir, offline=task.name not in asked)
        except MissingData:
            if task.name in asked:
                raise
            log.print(
                f"[yellow]{pairs.name}: test queries of {task.name} not looked for, its data is not here[/]"
            )
            counts[f"{task.name} not checked"] = -1
            continue
        pairs, found = exclude(pairs, data)
        counts |= {f"{task.name} {reason}": count for reason, count in found.items()}
    return pairs, counts


def _in_domain(source: str, task: Task) -> bool:
    return source in {task.name, task.short_name, task.mteb, *task.in_domain}
