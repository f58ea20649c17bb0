"""`mixbench relate`: does what can be inverted retrieve? Models by accuracy, language loss and nDCG@10.

Every number is read from what `probe --json`, `pretrain` and `pools` have left. Correlations are Spearman's,
of ranks, with percentile intervals over models drawn again: they are few, so these are wide.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from mixbench.errors import InputError
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.claims.figures import read_value
from mixbench.experiments.estimates import Estimate
from mixbench.experiments.json_report import JsonReport
from mixbench.experiments.lineage import command_line

DRAWS = 10_000
LEAST = 4
"""Models, at least, that are correlated."""


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Of two figures over all models; None where one of them is the same for all."""

    a: str
    b: str
    rho: Estimate | None


@dataclass(frozen=True, kw_only=True)
class RelationReport(JsonReport):
    """The figures of each model, and their rank correlations."""

    models: Sequence[dict[str, Any]]
    """Name and figures: top-1 accuracy by each probe, held-out loss, nDCG@10 among all documents."""
    correlations: Sequence[Correlation]
    provenance: dict[str, Any]

    def table(self) -> Table:
        """Return the report as a table, a row for each model."""
        table = Table(title="Inversion, language and retrieval", title_justify="left")
        figures = [name for name in self.models[0] if name != "model"]
        table.add_column("model")
        for name in figures:
            table.add_column(name, justify="right")
        for row in self.models:
            table.add_row(Text(row["model"]), *(f"{row[name]:.3f}" for name in figures))
        table.caption = "\n".join(
            f"{each.a} and {each.b}: rho {'none' if each.rho is None else each.rho.shown()}"
            for each in self.correlations
        )
        return table


def run_relating(names: Sequence[str], probes: Sequence[Path], records: Path, pools: Path) -> RelationReport:
    """Relate the models called `names`.

    Args:
        names: folders below `records`, and files without .json below `pools`.
        probes: what `probe --json` printed, of these models; a file's name without .json names its figure.
        records: folder of the model folders that `pretrain` wrote.
        pools: folder of the reports of `pools`.

    Raises:
        InputError: too few models, or a file cannot be read or lacks what is looked for.
    """
    if len(set(names)) < max(LEAST, len(names)):
        raise InputError(f"{len(set(names))} different models of {len(names)}; give at least {LEAST}")
    rows = [_figures(name, probes, records, pools) for name in names]
    figures = [name for name in rows[0] if name != "model"]
    correlations = [
        Correlation(a=a, b=b, rho=rank_correlation([row[a] for row in rows], [row[b] for row in rows]))
        for a, b in combinations(figures, 2)
    ]
    made = describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=0)
    return RelationReport(models=rows, correlations=correlations, provenance=made.model_dump())


def rank_correlation(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Estimate | None:
    """Return Spearman's correlation with its 95 % interval; None where a or b is all the same.

    Draws in which one is all the same tell nothing, and are left out.
    """
    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    drawn_DN = np.random.default_rng(seed).integers(len(a), size=(DRAWS, len(a)))
    a_N, b_N = np.asarray(a, float), np.asarray(b, float)
    found_D = _spearman(a_N[drawn_DN], b_N[drawn_DN])
    low, high = np.nanpercentile(found_D, (2.5, 97.5)).tolist()
    return Estimate(mean=float(_spearman(a_N, b_N)), low=low, high=high)


def _spearman(a_DN: NDArray[np.float64], b_DN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlations (D) of ranks along the last axis; NaN where a or b is all the same.

    They are those of scipy's spearmanr, which takes one pair at a time.
    """
    from scipy.stats import rankdata

    ranks = (rankdata(each, axis=-1) for each in (a_DN, b_DN))
    a_centred, b_centred = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    size_D = np.sqrt((a_centred**2).sum(axis=-1) * (b_centred**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        correlations_D: NDArray[np.float64] = (a_centred * b_centred).sum(axis=-1) / size_D
    return correlations_D


def _number(folder: Path, reference: str) -> float:
    """Return the number, or the mean of the numbers, that `reference` names. Raises InputError for others."""
    found = read_value(folder, reference)
    try:
        return fmean(found) if isinstance(found, list) else float(found)
    except (TypeError, ValueError):
        name, _, pointer = reference.partition("#")
        raise InputError.at(folder / name, None, f"{found!r:.60} at {pointer!r} is no number") from None


def _figures(name: str, probes: Sequence[Path], records: Path, pools: Path) -> dict[str, Any]:
    accuracies = {
        probe.stem: _number(probe.parent, f"{probe.name}#[model={name}].top1.mean") for probe in probes
    }
    return {
        "model": name,
        **accuracies,
        "loss": _number(records / name, "mixbench.json#held_out_losses"),
        "ndcg_at_10": _number(pools, f"{name}.json#all_documents.ndcg_at_10.mean"),
    }
