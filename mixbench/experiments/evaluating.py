"""`mixbench eval`: every model on every task, through one path."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mixbench.data import RetrievalData, task_sha256
from mixbench.data.hub import stay_offline
from mixbench.data.load import load_data, locate
from mixbench.errors import InputError, MissingData
from mixbench.evaluation.evaluate import evaluate, existing_result, has_speed, save_evaluation
from mixbench.experiments.commands import eval_command
from mixbench.experiments.fusing import check_lessons, fit_to_task
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.ray_cluster import check_ray
from mixbench.experiments.reranking import open_systems
from mixbench.experiments.systems import EncoderOptions, prepare
from mixbench.files import check_writable
from mixbench.results import METRICS, Result, cluster_queries, save_clusters
from mixbench.retrievers import Retriever
from mixbench.retrievers.fusion import Fusion
from mixbench.retrievers.rerank import Reranked
from mixbench.tasks import Task, select_tasks

if TYPE_CHECKING:
    from mixbench.experiments.spreading import Piece


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where tasks and data are looked for, and where results go."""

    tasks_dir: Path | None = None
    data_dir: Path | None = None
    output: Path = Path("leaderboards")
    offline: bool = False
    texts_on_disk: bool = False
    """Whether documents of BEIR folders are read from disk one by one, whenever they are needed."""


def chosen_tasks(names: Sequence[str], tasks_dir: Path | None) -> list[Task]:
    """Return the tasks that `names` stand for; also of mteb and ir_datasets by `mteb:NAME`, `irds:ID`."""
    tasks = select_tasks(names, tasks_dir, describe={"mteb": _mteb_task, "irds": _irds_task})
    for task in tasks:
        if task.main_metric not in METRICS:
            raise InputError(
                f"task {task.name!r} is scored by {task.main_metric!r}; known: {', '.join(METRICS)}"
            )
    return tasks


def run_evaluations(
    models: Sequence[str],
    tasks: Sequence[Task],
    places: Places,
    options: EncoderOptions,
    *,
    skip_missing: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
) -> list[Result]:
    """Evaluate every model on every task and store each result at once; stored ones are kept.

    `ray` names a Ray cluster whose workers encode the documents, "local" one on this machine. Raises
    MissingData where the data of some task is nowhere and `skip_missing` is false; it lists all of them.
    """
    check_ray(ray)
    check_writable(places.output)
    if places.offline:
        stay_offline()
    _check_trust(models, options)
    present = _with_data(tasks, places, skip_missing)
    systems = open_systems(models, options)
    check_lessons(systems, present)
    if ray is not None:
        _encode_by_workers(ray, models, systems, present, places, options, overwrite=overwrite)
    results = []
    for task in present:
        load_split = partial(load_split_of, task, places)
        data = load_split(task.eval_split)
        if task.known_item:
            keep_clusters(places.output, task, data)
        for model, system in zip(models, systems, strict=True):
            retriever = fit_to_task(system, task, data, load_split)
            kept = None if overwrite else existing_result(places.output, retriever, task, data)
            if kept is not None:
                say(f"kept {retriever.name} on {task.name}")
            results.append(kept or _evaluate(model, retriever, task, data, places, options))
    return results


def _encode_by_workers(
    address: str,
    models: Sequence[str],
    systems: Sequence[Retriever],
    tasks: Sequence[Task],
    places: Places,
    options: EncoderOptions,
    *,
    overwrite: bool,
) -> None:
    """Let the workers of a Ray cluster bring into the store what the evaluations will read."""
    from mixbench.experiments.spreading import encode_by_workers, encoders_of, missing_pieces

    def pieces() -> Iterator["Piece"]:
        seen: dict[str, int] = {}
        for model, system in zip(models, systems, strict=True):  # a worker has one model at a time
            encoders = encoders_of(model, system)
            for task in tasks if encoders else ():
                data = load_split_of(task, places, task.eval_split)
                # Of a fusion or reranking, weights may have to be learned before its result is known.
                known = not overwrite and not isinstance(system, Fusion | Reranked)
                if known and existing_result(places.output, prepare(system, task), task, data):
                    continue
                yield from missing_pieces(encoders, data, options, seen)

    assert options.encoding is not None
    options.encoding.spread = True
    encode_by_workers(address, pieces(), options.encoding, options.device)


def _evaluate(
    model: str,
    retriever: Retriever,
    task: Task,
    data: Sequence[RetrievalData],
    places: Places,
    options: EncoderOptions,
) -> Result:
    """Evaluate one system on one task, and store the result."""
    # A system without weights runs on the processor, and none of an encoder's options touches it.
    plain = EncoderOptions(offline=options.offline)
    used = replace(options, encoding=None) if retriever.parameters else plain
    if options.encoding is not None:
        # What measured a speed is only replaced by what measures it again, unless workers are to encode.
        measures = has_speed(places.output, retriever, task) and not options.encoding.spread
        options.encoding.reading = not measures
    texts = sum(len(part.corpus) + len(part.queries) for part in data)
    with progress_bar(f"{retriever.name} on {task.name}", texts) as advance:
        evaluation = evaluate(
            retriever,
            task,
            data,
            command=eval_command(model, task.selector, used, local_data=data[0].source == "folder"),
            device=used.device,
            seed=used.seed,
            advance=advance,
            encoding=options.encoding,
        )
        save_evaluation(places.output, evaluation, progress=say)
    read = evaluation.result.costs.documents_from_store
    say(f"done {retriever.name} on {task.name}" + f", {read} documents from the store" * bool(read))
    return evaluation.result


def _check_trust(models: Sequence[str], options: EncoderOptions) -> None:
    """Raise InputError where code is trusted of a model that is not evaluated."""
    named = {part for model in models for part in re.split("[:,=]", model)}
    for name in options.trust_remote_code:
        if name not in named:
            raise InputError(f"--trust-remote-code {name!r}: no such model is evaluated; name one of -m")


def _mteb_task(name: str) -> Task:
    from mixbench.interop.mteb.data import describe_task

    return Task(name=f"mteb/{name}", **describe_task(name))


def _irds_task(dataset_id: str) -> Task:
    from mixbench.interop.irds import check_dataset

    check_dataset(dataset_id)
    return Task(
        name=f"irds/{dataset_id.replace('/', '__')}",
        description=f"{dataset_id} of ir_datasets.",
        ir_datasets=dataset_id,
        eval_split=dataset_id.rpartition("/")[2],
        licence="not specified",
        redistribute=False,
    )


def keep_clusters(output: Path, task: Task, data: Sequence[RetrievalData]) -> None:
    """Write below `output` which queries of a task share a document, so that boards know without the data."""
    qrels = {each.prefix + query_id: judged for each in data for query_id, judged in each.qrels.items()}
    save_clusters(output, task.name, task_sha256(data), cluster_queries(qrels))


def load_split_of(task: Task, places: Places, split: str) -> list[RetrievalData]:
    """Return a split of a task, from where `places` has it."""
    return load_data(
        task,
        data_dir=places.data_dir,
        split=split,
        offline=places.offline,
        on_disk=places.texts_on_disk,
    )


def _with_data(tasks: Sequence[Task], places: Places, skip_missing: bool) -> list[Task]:
    """Return the tasks whose data is somewhere; say of each where."""
    present, missing = [], []
    for task in tasks:
        try:
            location = locate(task, data_dir=places.data_dir, offline=places.offline)
        except MissingData as error:
            missing.append(str(error))
            continue
        say(f"{task.name}: {location.kind} {location.place}")
        present.append(task)
    if missing and not skip_missing:
        raise MissingData("\n".join(missing) + "; or leave such tasks out with --skip-missing")
    if not present:
        raise MissingData("no task has data:\n" + "\n".join(missing))
    for problem in missing:
        say(f"skipped {problem}")
    return present
