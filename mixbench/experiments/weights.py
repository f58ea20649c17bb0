"""The weights of a weighted sum, learned from the judged dev queries of a task.

The objective is the task's main metric. Coordinate ascent over the simplex: each system in turn tries every
share from 0 to 1 in steps of STEP, while the others divide the rest as they did, until a round changes
nothing. For two systems the first turn is the whole grid.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from mixbench.data import RetrievalData
from mixbench.evaluation.evaluate import DEPTH
from mixbench.evaluation.metrics import score_queries
from mixbench.results import METRICS, mean_scores
from mixbench.retrievers.candidates import Candidates
from mixbench.retrievers.fusion import Fusion
from mixbench.tasks import Task

STEPS = 20
"""To go from 0 to 1: a step is 0.05."""
GAIN = 1e-9
"""What a score must rise by to be higher: less is rounding."""

Weights = tuple[float, ...]


def learn_weights(fusion: Fusion, task: Task, data: Sequence[RetrievalData]) -> tuple[Weights, float]:
    """Return the weights, which sum to 1, under which `fusion` scores best on `data`, and that score.

    `data` is one collection or one for each part: its corpora are indexed, its queries searched once.
    """
    found = []
    for collection in data:
        fusion.index(collection.corpus)
        fusion.query_ids = [collection.prefix + query_id for query_id in collection.queries]
        found.append(fusion.candidates(list(collection.queries.values())))

    @cache
    def objective(weights: Weights) -> float:
        return _score(weights, task, data, found)

    return ascend(objective, len(fusion.retrievers))


def ascend(objective: Callable[[Weights], float], systems: int) -> tuple[Weights, float]:
    """Return the weights at which coordinate ascent from equal weights ends, and the objective there.

    Of shares that score the same, the one nearest to equal weights is taken, then the lowest.
    """
    equal = (round(1 / systems, 6),) * systems
    best, best_score = equal, objective(equal)
    before = None
    while best != before:
        before = best
        for system in range(systems):
            for weights in sorted(_shares(best, system), key=lambda each: abs(each[system] - equal[system])):
                score = objective(weights)
                if score > best_score + GAIN:
                    best, best_score = weights, score
    return best, best_score


def _shares(weights: Weights, system: int) -> Iterator[Weights]:
    """Yield the weights in which `system` has each share of the grid, the others what is left of it."""
    others = sum(weights) - weights[system]
    for step in range(STEPS + 1):
        share = step / STEPS
        rest = [(1 - share) * (weight / others if others else 1 / (len(weights) - 1)) for weight in weights]
        yield tuple(round(share if each == system else rest[each], 6) for each in range(len(weights)))


def _score(
    weights: Weights, task: Task, data: Sequence[RetrievalData], found: Sequence[Sequence[Candidates]]
) -> float:
    """Return the main score of the fused rankings, cut and freed of identical ids as in an evaluation."""
    scores: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    for collection, candidates in zip(data, found, strict=True):
        rankings = {}
        for query_id, each in zip(collection.queries, candidates, strict=True):
            ranking = each.ranked(weights, DEPTH + task.remove_identical)
            own_id = query_id if task.remove_identical else None
            rankings[query_id] = [entry for entry in ranking if entry[0] != own_id][:DEPTH]
        for metric, by_query in score_queries(collection.qrels, rankings).items():
            scores[metric].update({collection.prefix + key: value for key, value in by_query.items()})
    return mean_scores(scores, list(task.parts))[0].of(task.main_metric)
