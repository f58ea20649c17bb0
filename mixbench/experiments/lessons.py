"""What weights are learned from: queries of a task that it is not evaluated on.

The dev split, or the train split where there is no other. A query that the evaluation has too is never among
them. The weights have then seen data of the task, so the task is a training source of the fusion, and its
result is in-domain.
"""

from collections.abc import Sequence
from dataclasses import replace

from mixbench.data import RetrievalData, task_sha256
from mixbench.data.pairs import normalise
from mixbench.errors import InputError
from mixbench.experiments.progress import say
from mixbench.experiments.weights import learn_weights
from mixbench.results import in_domain_sources
from mixbench.retrievers import Retriever
from mixbench.retrievers.fusion import Fusion, Lesson
from mixbench.tasks import Task


def lesson_split(task: Task) -> str:
    """Return the split that weights are learned on: dev, else train. Raises InputError where neither is."""
    split = task.dev_split or task.train_split
    if split is None or split == task.eval_split:
        problem = f"{task.name} has no dev or train split to learn weights on"
        raise InputError(f"{problem}; give weights yourself, as sum:A=0.3,B=0.7")
    return split


def unseen(
    lesson_data: Sequence[RetrievalData], data: Sequence[RetrievalData], task: Task
) -> list[RetrievalData]:
    """Return `lesson_data` without queries whose words are those of a query in `data`.

    Raises InputError where both have a query of one id, and where no query is left.
    """
    ids = {each.prefix + query_id for each in data for query_id in each.queries}
    texts = {normalise(text) for each in data for text in each.queries.values()}
    kept, dropped = [], 0
    for each in lesson_data:
        shared = [query_id for query_id in each.queries if each.prefix + query_id in ids]
        if shared:
            problem = (
                f"{len(shared)} queries of its {each.split} split ({shared[0]!r}) are in {data[0].split} too"
            )
            raise InputError(f"{task.name}: {problem}; weights are never learned on what they are tested on")
        queries = {key: text for key, text in each.queries.items() if normalise(text) not in texts}
        dropped += len(each.queries) - len(queries)
        if not queries:
            raise InputError(
                f"{task.name}: its {each.split} split has no query of its own to learn weights on"
            )
        kept.append(replace(each, queries=queries, qrels={key: each.qrels[key] for key in queries}))
    if dropped:
        say(f"{task.name}: {dropped} {lesson_data[0].split} queries left out: {data[0].split} asks the same")
    return kept


def tune(
    retrievers: Sequence[Retriever], name: str, task: Task, lesson_data: Sequence[RetrievalData]
) -> Fusion:
    """Return the weighted sum of `retrievers` with the best weights on `lesson_data`, a split of `task`."""
    split = lesson_data[0].split
    for each in retrievers:
        seen = in_domain_sources(task, each.training_sources or ())
        if seen and split == task.train_split:
            problem = f"{each.name} was trained on {', '.join(seen)}"
            say(f"{task.name}: {problem}: the {split} split may overrate it")
    equal = [1.0] * len(retrievers)
    weights, score = learn_weights(Fusion(retrievers, method="sum", weights=equal), task, lesson_data)
    lesson = Lesson(
        task=task.name, split=split, data_sha256=task_sha256(lesson_data), metric=task.main_metric
    )
    shown = ", ".join(f"{each.name}={weight:g}" for each, weight in zip(retrievers, weights, strict=True))
    queries = sum(len(each.queries) for each in lesson_data)
    said = f"{task.main_metric} {score:.4f} on {queries} queries of the {split} split"
    say(f"{task.name}: {name} is {shown} ({said})")
    return Fusion(retrievers, method="sum", weights=weights, lesson=lesson, name=name)
