"""Retrievers tuned on one source, scored on held-out texts of it: the paper's claim of tuned mixers, tabled.

The paper tunes a small mixer and holds it against a large general retriever. Here a mixer and its twin, of
one start, recipe and number of steps, stand beside BM25 and a general retriever.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixbench.errors import MissingData
from mixbench.leaderboard import read_evidence
from mixbench.leaderboard.evidence import strata_of
from mixbench.leaderboard.rules import training_mark
from mixbench.leaderboard.samples import Sample, sample_task
from mixbench.leaderboard.standings import ALPHA
from mixbench.leaderboard.statistics import holm
from mixbench.leaderboard.tables import between, chance, score, short, signed, table
from mixbench.results import Result
from mixbench.results.storage import find_results
from mixbench.tasks import find_tasks

HELD_OUT = {
    "squad": "domain/squad-dev",
    "arxiv": "domain/arxiv-title2abs",
    "debian": "domain/debian-known-item",
    "medquad": "domain/medquad",
    "code": "domain/cosqa",
}
"""The task that holds each source's held-out texts."""
OTHERS = ("BM25", "MiniLM", "twin")
"""What the mixer is compared with; it is the last of a sample."""
MIXER = len(OTHERS)
NO_WORSE = -0.01
"""A mixer whose difference has its interval above this is not below another."""


def tuned_table(folder: Path) -> list[str]:
    """Return the lines of the table of the results in `folder`, and below it what they say of the claim.

    Raises MissingData where one of the retrievers has no result on a task, or more than one.
    """
    tasks, found = find_tasks(), find_results(folder)
    samples: dict[str, Sample] = {}
    body = []
    for source, name in HELD_OUT.items():
        models = ("bm25", "all-MiniLM-L6-v2", f"twin-on-{source}", f"mixer-on-{source}")
        results = [_only(found, model, name, folder) for model in models]
        evidence = read_evidence(folder, results)
        strata = strata_of([[result] for result in results], evidence, tasks[name].main_metric)
        sample = samples[source] = sample_task(name, strata)
        cells = [
            f"{score(mean)}{training_mark(result)} ({between(low, high)})"
            for result, mean, low, high in zip(results, sample.means, *sample.ends, strict=True)
        ]
        body.append([f"`{source}`, {short(name)}", *cells])
    p_values = {
        other: holm([sample.p_values(k)[MIXER] for sample in samples.values()])
        for k, other in enumerate(OTHERS)
    }
    for place, (row, sample) in enumerate(zip(body, samples.values(), strict=True)):
        for k, other in enumerate(OTHERS):
            low, high = sample.difference_ends(k, MIXER)
            difference = signed(sample.means[MIXER] - sample.means[k])
            p = chance(p_values[other][place])
            row.append(f"{difference} ({signed(low)} to {signed(high)}), p {p}")
    head = ["tuned on, held out", *OTHERS, "mixer", *(f"mixer − {other}" for other in OTHERS)]
    return [*table(head, body), "", _verdict(list(samples.values()), p_values)]


def _verdict(samples: list[Sample], p_values: Mapping[str, list[float]]) -> str:
    def separable(k: int, sign: int) -> int:
        pairs = zip(samples, p_values[OTHERS[k]], strict=True)
        return sum(sign * (sample.means[MIXER] - sample.means[k]) > 0 and p < ALPHA for sample, p in pairs)

    bm25, general, twin = range(MIXER)
    no_worse = sum(sample.difference_ends(general, MIXER)[0] > NO_WORSE for sample in samples)
    return (
        f"The mixer is above BM25 on {separable(bm25, 1)} of {len(samples)} sets (p < {ALPHA:g}, by Holm's"
        f" method over them), not below MiniLM on {no_worse} (the interval of the difference above"
        f" {signed(NO_WORSE)}), above its twin on {separable(twin, 1)} and below it on {separable(twin, -1)}."
    )


def _only(found: Sequence[Result], model: str, task: str, folder: Path) -> Result:
    results = [each for each in found if (each.model, each.task) == (model, task)]
    if len(results) != 1:
        raise MissingData(f"{folder}: {len(results)} results of {model} on {task}; there has to be one")
    return results[0]
