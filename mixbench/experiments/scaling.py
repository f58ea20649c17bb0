"""What `mixbench eval --ray` would take on MS MARCO, estimated: what was measured, times how it grows.

    start     once, all workers at the same time
    encoding  documents / (GPUs * documents a second of one); never faster than eval's process keeps them
    the rest  documents * what each takes in eval's process, and queries * documents scored on one GPU

GPUs are paid for while they encode, and one of them to the end. Workers share nothing but what they send to
eval's process, so encoding is taken to grow with their number; more than one GPU was not measured.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

DOCUMENTS, QUERIES, WORDS = 8_841_823, 6_980, 55.98
"""Of MS MARCO in BEIR (https://arxiv.org/abs/2104.08663, table 1): passages, dev queries, words/passage."""
MEASURED_WORDS = 54.5
"""Of a document of domain/debian-known-item, on which the speeds below were measured."""
DOLLARS = 3.0
"""An hour of one GPU: an assumption, put yours."""
GPUS = (1, 8, 64)
START = 60.0
"""Seconds until workers encode: Ray, libraries, the model. An assumption; 15 on two busy cores here."""
KEEPING = 8.5e-6
"""Seconds of eval's process for a document that workers encode: its text hashed and sent, its row kept.

This and the next two: processor seconds, 39,158 documents of 384 dimensions on an Intel Xeon, 2026-11-27.
"""
READING = 2 * 6.3e-6 + 5.8e-6 + 3.1e-6 + 10.3e-6
"""Then: its text read twice and hashed, its row read, checked, normalised and indexed."""
TOKENISING = 114e-6
"""And its tokens counted for the share that is cut, by all cores."""
CORES = 16
WIDTH = 118
BOARD = Path("leaderboards/domain")
TASK = "debian-known-item"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One model on one GPU, by a committed result."""

    model: str
    machine: str
    documents_per_second: float
    seconds_a_pair: float
    """Of the search, for each query and document; that of encoding queries is in it, so at most."""


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """Seconds of encoding (start included) and of all, GPU-hours and dollars."""

    encoding: float
    total: float
    gpu_hours: float
    dollars: float


def measured(model: str, board: Path = BOARD) -> Measured:
    """Return what the newest committed result of `model` on the task says."""
    paths = sorted((board / model).glob(f"*/{TASK}.json"))
    result = max((json.loads(path.read_text()) for path in paths), key=lambda one: one["provenance"]["date"])
    costs = result["costs"]
    return Measured(
        model=model,
        machine=result["provenance"]["machine"],
        documents_per_second=costs["documents_per_second"],
        seconds_a_pair=costs["search_seconds"] / result["n_queries"] / result["n_documents"],
    )


def estimate_run(
    one: Measured,
    gpus: int,
    *,
    documents: int = DOCUMENTS,
    queries: int = QUERIES,
    dollars: float = DOLLARS,
) -> Estimated:
    """Return what `gpus` GPUs take; `dollars` is the price of one for an hour."""
    encoding = START + max(documents / (gpus * one.documents_per_second), documents * KEEPING)
    rest = documents * (READING + TOKENISING / CORES) + queries * documents * one.seconds_a_pair
    hours = (gpus * encoding + rest) / 3600
    return Estimated(encoding=encoding, total=encoding + rest, gpu_hours=hours, dollars=hours * dollars)


def useful_gpus(one: Measured) -> int:
    """Return the most GPUs that encode no faster than eval's process keeps what they send."""
    return int(1 / (KEEPING * one.documents_per_second))


def scaling_table(models: Sequence[str] = ("all-MiniLM-L6-v2", "mixer-small"), board: Path = BOARD) -> str:
    """Return the estimates as a Markdown table, and what they rest on."""
    lines = [
        "| model | measured, documents/s | GPUs | encoding, minutes | all, minutes"
        f" | GPU-hours | at ${DOLLARS:g} |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for one in (measured(model, board) for model in models):
        said = f"| `{one.model}` | {one.documents_per_second:,.0f} ({one.machine}) |"
        for gpus in GPUS:
            run = estimate_run(one, gpus)
            shown = (
                f"{run.encoding / 60:.1f} | {run.total / 60:.1f} | {run.gpu_hours:.1f} | {run.dollars:.2f}"
            )
            lines.append(f"{said} {gpus} | {shown} |")
    useful = [useful_gpus(measured(model, board)) for model in models]
    return "\n".join([*lines, "", _said(min(useful), max(useful)), ""])


def _said(least: int, most: int) -> str:
    gib = DOCUMENTS * 384 * 4 / 2**30
    head = (
        f"Estimates, not runs. Speeds are those of one GPU on `domain/{TASK}`, whose documents have"
        f" {MEASURED_WORDS:g} words on average; passages of MS MARCO have {WORDS:g}. With N = {DOCUMENTS:,}"
        f" passages, Q = {QUERIES:,} queries, G GPUs and r documents/s of one:"
    )
    points = (
        f"encoding = {START:g} s + max(N / (G r), N x {KEEPING * 1e6:.1f} µs). The second is the process of"
        f" `eval`, which hashes, sends and keeps all: more than {least} to {most} such GPUs wait for it.",
        f"all = encoding + N x {READING * 1e6:.0f} µs + N x {TOKENISING * 1e6:.0f} µs / {CORES} cores + Q N"
        " times the search of a pair, as measured, query encoding included. Texts are read twice, and"
        " tokenised once more for the share that is cut.",
        f"GPU-hours = G x encoding + the rest on one GPU; dollars = ${DOLLARS:g} x GPU-hours, an assumption:"
        " put your price.",
        f"Of memory, the process of `eval` needs {gib:.0f} GiB for a float32 index, beside the texts, and"
        " the store as much disk, which `--store-limit` must allow.",
    )
    listed = (fill(f"- {point}", WIDTH, subsequent_indent="  ") for point in points)
    return "\n".join([fill(head, WIDTH), "", *listed])
