"""Figures: what a row's results took, taken together; only those of one machine are taken together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from mixbench.results import Result

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Costs over all tasks of a row: rates over all of them, sizes and latencies of the worst task."""

    parameters: int
    index_bytes: int
    flops_per_document: float | None
    documents_per_second: float | None
    """None, as what memory it took, where embeddings of a result were read from a store."""
    queries_per_second: float
    query_seconds_p50: float | None
    """Of a query alone; None where it was not timed."""
    query_seconds_p95: float | None
    peak_memory_bytes: int | None
    peak_device_bytes: int | None


def machine_of(result: Result) -> str:
    """Return the machine in a line: speeds on different ones are no comparison."""
    provenance = result.provenance
    return f"{provenance.machine}, {provenance.device}, {provenance.threads} threads"


def figures_of(results: Sequence[Result]) -> Figures | None:
    """Return the figures of results; None for a stored run: what it took to make that, nobody measured."""
    if any(result.from_stored_run for result in results):
        return None
    costs = [result.costs for result in results]
    documents = sum(result.n_documents for result in results)
    flops = [cost.flops_per_document for cost in costs]
    total = [
        each * result.n_documents for each, result in zip(flops, results, strict=True) if each is not None
    ]
    device = [cost.peak_device_bytes for cost in costs if cost.peak_device_bytes is not None]
    return Figures(
        parameters=max(cost.parameters for cost in costs),
        index_bytes=max(cost.index_bytes for cost in costs),
        flops_per_document=sum(total) / documents if len(total) == len(results) else None,
        documents_per_second=_rate(documents, [cost.index_seconds for cost in costs]),
        queries_per_second=sum(result.n_queries for result in results)
        / sum(cost.search_seconds for cost in costs),
        query_seconds_p50=_largest([cost.query_seconds_p50 for cost in costs]),
        query_seconds_p95=_largest([cost.query_seconds_p95 for cost in costs]),
        peak_memory_bytes=_largest([cost.peak_memory_bytes for cost in costs]),
        peak_device_bytes=max(device) if device else None,
    )


def _rate(documents: int, seconds: Sequence[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return documents / sum(known) if len(known) == len(seconds) else None


def _largest(values: Sequence[Number | None]) -> Number | None:
    known = [each for each in values if each is not None]
    return max(known) if len(known) == len(values) else None
