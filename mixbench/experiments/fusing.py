"""Names that stand for stored runs and fusions, and what either needs to know of a task.

    run:FILE              a TREC run, called run-FILE on boards
    rrf:A,B               reciprocal rank fusion, k = 60
    minmax:A,B            the sum of min-max normalised scores
    sum:A=0.3,B=0.7       the same, weighted
    tuned:A,B             the same, with weights learned on the task's dev split, else on its train split

A, B and so on, two or more, are names of any other kind; a comma always ends one.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mixbench.data import Document, RetrievalData
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.lessons import lesson_split, tune, unseen
from mixbench.experiments.progress import say
from mixbench.experiments.systems import EncoderOptions, open_system, prepare
from mixbench.files import OPENERS
from mixbench.interop.trec import read_run
from mixbench.retrievers import Retriever
from mixbench.retrievers.fusion import Fusion, Method
from mixbench.retrievers.rerank import Reranked
from mixbench.retrievers.run import RunRetriever
from mixbench.tasks import Task

METHODS: dict[str, Method] = {"rrf": "rrf", "minmax": "minmax", "sum": "sum", "tuned": "sum"}


class Untuned(Fusion):
    """A weighted sum whose weights are still to be learned, by `fit_to_task`."""

    def index(self, corpus: Sequence[Document]) -> None:
        """Raise MixbenchError: as it is, it would be a sum with equal weights under another name."""
        raise MixbenchError(
            f"{self.name!r} has no weights yet; they are learned for each task that is evaluated"
        )


def open_composite(name: str, options: EncoderOptions) -> Retriever:
    """Return the stored run or fusion called `name`. Raises InputError, and what `open_system` does."""
    kind, _, rest = name.partition(":")
    if kind == "run":
        return open_run(Path(rest))
    members = rest.split(",")
    if len(members) < 2 or not all(members):
        raise InputError(f"{name!r}: a fusion needs two or more systems, divided by commas; write {kind}:A,B")
    nested = next((each for each in members if each.partition(":")[0] in METHODS), None)
    if nested:
        raise InputError(f"{name!r}: {nested!r} is a fusion itself; name systems and stored runs only")
    weights = None
    if kind == "sum":
        members, weights = _weighted(name, members)
    retrievers = [open_system(each, options) for each in members]
    if kind != "tuned":
        return Fusion(retrievers, method=METHODS[kind], weights=weights)
    called = "tuned-" + "+".join(each.name for each in retrievers)
    return Untuned(retrievers, method="sum", weights=[1.0] * len(retrievers), name=called)


def open_run(path: Path) -> RunRetriever:
    """Return the stored run in `path`, repairs said aloud. Raises InputError."""
    if not path.is_file():
        raise InputError.at(path, None, "no such file; run:FILE names a TREC run")
    plain = path.name.removesuffix(path.suffix) if path.suffix in OPENERS else path.name
    stem = re.sub(r"[^\w+@=-]+", "_", Path(plain).stem, flags=re.ASCII)
    return RunRetriever(read_run(path, say), name=f"run-{stem}")


def fit_to_task(
    system: Retriever,
    task: Task,
    data: Sequence[RetrievalData],
    load_split: Callable[[str], Sequence[RetrievalData]],
) -> Retriever:
    """Return `system` as it runs on `task`: prompts chosen, weights learned, a run's misfits said aloud.

    `data` is what it will be evaluated on; `load_split` reads another split of the task.
    """
    if isinstance(system, Reranked):
        first = fit_to_task(system.first, task, data, load_split)
        return Reranked(first, system.scorer, depth=system.depth)
    if isinstance(system, RunRetriever):
        for line in system.misfits(data):
            say(f"{task.name}: {line}")
    if not isinstance(system, Fusion):
        return prepare(system, task)
    retrievers = [fit_to_task(each, task, data, load_split) for each in system.retrievers]
    if not isinstance(system, Untuned):
        return system.with_retrievers(retrievers)
    return tune(retrievers, system.name, task, unseen(load_split(lesson_split(task)), data, task))


def leaves(name: str, system: Retriever) -> list[tuple[str, Retriever]]:
    """Return each system that `system`, opened by `name`, is made of, by its own name."""
    if isinstance(system, Reranked):
        return leaves(name, system.first)
    if not isinstance(system, Fusion):
        return [(name, system)]
    kind, _, rest = name.partition(":")
    members = rest.split(",")
    names = _weighted(name, members)[0] if kind == "sum" else members
    return list(zip(names, system.retrievers, strict=True))


def check_lessons(systems: Sequence[Retriever], tasks: Sequence[Task]) -> None:
    """Raise InputError, before any work, where weights are wanted for a task without a dev split."""
    firsts = [system.first if isinstance(system, Reranked) else system for system in systems]
    if any(isinstance(system, Untuned) for system in firsts):
        for task in tasks:
            lesson_split(task)


def _weighted(name: str, members: Sequence[str]) -> tuple[list[str], list[float]]:
    """Return names and weights of members written as NAME=WEIGHT."""
    names, weights = [], []
    for member in members:
        system, _, weight = member.rpartition("=")
        try:
            weights.append(float(weight))
        except ValueError:
            system = ""
        if not system:
            raise InputError(f"{name!r}: {member!r} has no weight; write sum:A=0.3,B=0.7")
        names.append(system)
    return names, weights
