"""`mixbench curves`: losses of language models at equal tokens, operations and seconds, and where they cross.

Every curve is the held-out loss that `pretrain` recorded, on straight lines between its points. Operations
are those of training: counted for one window of the forward pass, times the passes of a step.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench_encode_models import build_shaped
from mixbench.experiments.claims.figures import curve_of, loss_at, read_evidence
from mixbench.experiments.json_report import JsonReport
from mixbench.experiments.lineage import command_line
from mixbench.experiments.model_work import PASSES, language_flops
from mixbench.models.language_model import LanguageModel
from mixbench.training.record import RECORD_FILE

AXES = ("tokens", "flops", "seconds")
NEXT_TOKEN = "next-token"

Curve = Sequence[Mapping[str, float]]
"""Points of one run, with a number for each of `AXES`, which rise, and "loss" in nats a token."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models where the shorter of their curves ends on an axis, and where they cross last."""

    a: str
    b: str
    axis: str
    at: float
    a_loss: float
    b_loss: float
    crossing: float | None
    """The place on the axis from which the losses are in the order of the end; None where they always are."""


@dataclass(frozen=True, kw_only=True)
class CurvesReport(JsonReport):
    """The curves of models, and each two of them compared on each axis."""

    models: Sequence[dict[str, Any]]
    pairs: Sequence[Pair]
    provenance: dict[str, Any]

    def table(self) -> Table:
        """Return the comparisons as a table, a row for each two models and axis."""
        table = Table(title="Held-out loss, nats a token", title_justify="left")
        for heading in ("a", "b", "at equal"):
            table.add_column(heading)
        for heading in ("place", "a's loss", "b's loss", "cross last at"):
            table.add_column(heading, justify="right")
        for pair in self.pairs:
            crossing = "–" if pair.crossing is None else f"{pair.crossing:.3g}"
            losses = (f"{pair.a_loss:.3f}", f"{pair.b_loss:.3f}")
            table.add_row(Text(pair.a), Text(pair.b), pair.axis, f"{pair.at:.3g}", *losses, crossing)
        return table


def run_curves(names: Sequence[str], records: Path, axes: Sequence[str]) -> CurvesReport:
    """Compare the language models called `names`, folders below `records` that `pretrain` wrote.

    Seconds compare only runs that had the same device to themselves.

    Raises:
        UnknownName: there is no such axis.
        InputError: fewer than two models, a record cannot be read, or it is not of a preset's language model.
    """
    for axis in axes:
        if axis not in AXES:
            raise UnknownName.of("axis", axis, AXES)
    if len(set(names)) < max(2, len(names)):
        raise InputError(f"{len(set(names))} different models of {len(names)}; give at least 2")
    models = [_model(name, records) for name in names]
    pairs = [compare(a, b, axis) for axis in axes for a, b in combinations(models, 2)]
    made = describe_run(command=command_line(sys.argv[1:]), device="cpu", seed=0)
    return CurvesReport(models=models, pairs=pairs, provenance=made.model_dump())


def compare(a: Mapping[str, Any], b: Mapping[str, Any], axis: str) -> Pair:
    """Return how two models, each with "model" and "curve", stand at the end of the shorter curve."""
    end = min(a["curve"][-1][axis], b["curve"][-1][axis])
    return Pair(
        a=a["model"],
        b=b["model"],
        axis=axis,
        at=end,
        a_loss=loss_at(a["curve"], end, axis),
        b_loss=loss_at(b["curve"], end, axis),
        crossing=last_crossing(a["curve"], b["curve"], axis),
    )


def last_crossing(a: Curve, b: Curve, axis: str) -> float | None:
    """Return the last place on `axis` where the curves change order; None where they do not."""
    end = min(a[-1][axis], b[-1][axis])
    places = sorted({point[axis] for point in (*a, *b) if point[axis] <= end})
    gaps = [(place, loss_at(a, place, axis) - loss_at(b, place, axis)) for place in places]
    crossing = None
    for (left, before), (right, after) in pairwise([each for each in gaps if each[1]]):
        if before * after < 0:
            crossing = left + (right - left) * before / (before - after)
    return crossing


def _model(name: str, records: Path) -> dict[str, Any]:
    path = records / name / RECORD_FILE
    if not path.is_file():
        raise InputError.at(path, None, "no such record; give folders that pretrain wrote, below --records")
    record = read_evidence(path.parent, path.name)
    curve = curve_of(record, path)
    if record["config"].get("objective", NEXT_TOKEN) != NEXT_TOKEN:
        raise InputError.at(path, None, "an autoencoder; give language models")
    try:
        language = LanguageModel(build_shaped(record["base"], 0))
    except (MixbenchError, KeyError) as error:
        problem = f"its operations cannot be counted ({error}); give language models made from presets"
        raise InputError.at(path, None, problem) from None
    flops = PASSES * language_flops(language)
    return {
        "model": name,
        "base": record["base"],
        "parameters": record["parameters"],
        "device": record["device"],
        "train_flops_per_token": flops,
        "curve": [{**point, "flops": flops * point["tokens"]} for point in curve],
    }
