"""`mixbench bench eval`: a whole evaluation by mixbench beside one by `mteb.evaluate`, in fresh processes.

Each process imports, loads model and data, encodes, searches and scores; no result of an earlier one is kept.
What goes beyond the work is counted in shares of it: the seconds that neither encoding nor search accounts
for, in ours by the costs of its result, in mteb by its own time of the evaluation, in which scoring is too.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixbench.data.load import locate
from mixbench.errors import InputError
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import Spread, take_turns
from mixbench.experiments.bench_report import BenchReport, BenchRow
from mixbench.experiments.evaluating import Places, chosen_tasks
from mixbench.experiments.fresh_process import FreshProcess
from mixbench.experiments.lineage import command_line, without_place
from mixbench.tasks import Task

PEER = "mixbench.experiments.bench_eval_peer"
COLUMNS = {
    "main score": "{main_score:.5f}",
    "at work s": "{working_seconds[median]:.1f}",
    "beyond": "{beyond_work[median]:.1%}",
    "memory": "{memory_mb:,.0f} MB",
}


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Model and task by their names, and how both programs are run; `threads` of None are the libraries' own.

    Raises InputError for a number that is too low.
    """

    model: str = "minilm"
    task: str
    batch_size: int = 32
    rounds: int = 3
    warm_up: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        InputError.check_least(1, batch_size=self.batch_size, rounds=self.rounds, threads=self.threads)
        InputError.check_least(0, warm_up=self.warm_up)


def bench_eval(settings: EvalSettings, places: Places) -> BenchReport:
    """Time the evaluation of a model on a task, whose data is in a folder here, by mixbench and by mteb.

    Raises:
        UnknownName: there is no such task.
        InputError: it is no single task of mteb, or its data is in no folder.
        MixbenchError: mixbench cannot evaluate the model.
    """
    task = _checked_task(settings.task, places)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mixbench-bench-") as work:
        contenders = [
            FreshProcess(name, how, command, threads=settings.threads)
            for name, how, command in (
                ("mixbench", "eval --overwrite --no-store", _our_command(settings, places, task, Path(work))),
                ("mteb", "mteb.evaluate, no cache", _mteb_command(settings, places, task)),
            )
        ]
        take_turns(contenders, settings.warm_up, notes, called="warm-up")
        seconds = take_turns(contenders, settings.rounds, notes)
    rows = [_row(each, times, _OUTCOMES[each.name]) for each, times in zip(contenders, seconds, strict=True)]
    scores = [f"{row.name} {row.figures['main_score']:.5f}" for row in rows]
    provenance = describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=0)
    return BenchReport(
        title="A whole evaluation, a fresh process each time",
        settings=asdict(settings)
        | {"model": without_place(settings.model), "task": task.name, "device": "cpu"},
        rows=rows,
        against=[row.name for row in rows[1:]],
        columns=COLUMNS,
        notes=[f"{task.main_metric}: {', '.join(scores)}", *notes],
        provenance=provenance.model_dump(exclude={"threads"}),
    )


def _checked_task(selector: str, places: Places) -> Task:
    tasks = chosen_tasks([selector], places.tasks_dir)
    if len(tasks) > 1 or tasks[0].mteb is None or tasks[0].parts:
        problem = f"stands for {len(tasks)} tasks" if len(tasks) > 1 else "is no single task of mteb"
        known = f"{selector!r} {problem}"
        raise InputError(f"{known}; name one task of one collection that mteb has, as beir/nfcorpus")
    location = locate(tasks[0], data_dir=places.data_dir, offline=True)
    if location.kind != "folder":
        raise InputError(f"{tasks[0].name}: no folder here has its data; give --data-dir")
    return tasks[0]


def _our_command(settings: EvalSettings, places: Places, task: Task, work: Path) -> list[str]:
    command = [sys.executable, "-m", "mixbench", "eval", "-m", settings.model, "-t", task.selector]
    command += ["--batch-size", str(settings.batch_size), "--output", str(work)]
    command += ["--overwrite", "--no-store", "--offline"]
    for option, place in (("--data-dir", places.data_dir), ("--tasks-dir", places.tasks_dir)):
        command += [option, str(place)] if place is not None else []
    return [*command, "--json"]


def _mteb_command(settings: EvalSettings, places: Places, task: Task) -> list[str]:
    asked = {
        "model": settings.model,
        "task": task.selector,
        "mteb": task.mteb,
        "batch_size": settings.batch_size,
        "data_dir": None if places.data_dir is None else str(places.data_dir),
        "tasks_dir": None if places.tasks_dir is None else str(places.tasks_dir),
    }
    return [sys.executable, "-m", PEER, json.dumps(asked)]


def _our_outcome(printed: str) -> dict[str, float]:
    (result,) = json.loads(printed)
    costs = result["costs"]
    return {
        "main_score": result["scores"][result["main_metric"]],
        "seconds": costs["index_seconds"] + costs["search_seconds"],
        "memory_bytes": costs["peak_memory_bytes"],
    }


_OUTCOMES: Mapping[str, Any] = {"mixbench": _our_outcome, "mteb": json.loads}
"""How what a process printed is read: its main score, its seconds at work and its peak of memory."""


def _row(contender: FreshProcess, seconds: Sequence[float], read: Any) -> BenchRow:
    outcomes = [read(printed) for printed in contender.printed[-len(seconds) :]]
    working = [outcome["seconds"] for outcome in outcomes]
    beyond = [whole / work - 1 for whole, work in zip(seconds, working, strict=True)]
    memory = max(outcome["memory_bytes"] for outcome in outcomes)
    figures = {
        "main_score": outcomes[-1]["main_score"],
        "working_seconds": asdict(Spread.of(working)) | {"rounds": working},
        "beyond_work": asdict(Spread.of(beyond)) | {"rounds": beyond},
        "memory_bytes": memory,
        "memory_mb": memory / 1e6,
    }
    return BenchRow(name=contender.name, settings=contender.settings, seconds=seconds, figures=figures)
