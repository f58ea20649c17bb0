"""What `mixbench bench encode` says of a model: its size, the work of a document, its share of the peak."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from mixbench.experiments.bench import TimedWork
from mixbench.experiments.bench_encode_models import BenchEncoder
from mixbench.experiments.bench_encode_texts import spread_over
from mixbench.experiments.bench_report import BenchRow
from mixbench.experiments.model_work import (
    count_parameters,
    count_tokens,
    embedding_parameters,
    forward_flops,
)

COUNTED = 64
"""Texts whose operations are counted, spread evenly over all."""
RULE = (
    "multiply-adds: those of matrix products, each text alone; ceiling: the baseline's over the model's own;"
    " operations: 2 a multiply-add"
)
COLUMNS = {
    "tokens": "{tokens_per_document:,.1f}",
    "parameters": "{parameters:,}",
    "multiply-adds": "{mega_multiply_adds_per_document:,.0f} M",
    "ceiling": "{ceiling:.2f}",
    "of peak": "{share_of_peak:.1%}",
    "cold s": "{cold_seconds:.2f}",
    "memory": "{memory_mb:,.0f} MB",
}


class EncodeContender(TimedWork):
    """A model, and its texts."""

    def __init__(self, encoder: BenchEncoder, texts: Sequence[str]) -> None:
        super().__init__(encoder.name, encoder.settings, lambda: encoder.encode(texts))
        self.encoder = encoder
        self.cold_seconds = 0.0
        self.tokens = count_tokens(encoder.model, texts) / len(texts)
        counted = spread_over(texts, COUNTED)
        self.flops = forward_flops(encoder.model, counted) / len(counted)


def encode_row(
    contender: EncodeContender, seconds: Sequence[float], documents: int, baseline: float, peak: float
) -> BenchRow:
    """Return the row of a model that encoded so many `documents` a round.

    `baseline` is the operations of a document of the model that it is held against, `peak` operations a
    second.
    """
    model, flops = contender.encoder.model, contender.flops
    pace = median(documents / each for each in seconds)
    memory = contender.memory_bytes if contender.device_bytes is None else contender.device_bytes
    parameters = count_parameters(model)
    figures: dict[str, Any] = {
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_length": _finite(getattr(model, "max_seq_length", None)),
        "tokens_per_document": contender.tokens,
        "parameters": parameters,
        "parameters_without_embedding": parameters - embedding_parameters(model),
        "multiply_adds_per_document": flops / 2,
        "mega_multiply_adds_per_document": flops / 2e6,
        "ceiling": baseline / flops if flops else None,
        "flops_per_second": pace * flops,
        "share_of_peak": pace * flops / peak,
        "load_seconds": contender.encoder.load_seconds,
        "cold_seconds": contender.cold_seconds,
        "memory_bytes": contender.memory_bytes,
        "device_bytes": contender.device_bytes,
        "memory_mb": memory / 1e6,
    }
    return BenchRow(name=contender.name, settings=contender.settings, seconds=seconds, figures=figures)


def _finite(length: float | None) -> int | None:
    """Return a number of tokens, None where a model reads everything."""
    return int(length) if length is not None and length < float("inf") else None
