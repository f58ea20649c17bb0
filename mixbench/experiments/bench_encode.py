"""`mixbench bench encode`: documents a second of several models, side by side in one run.

Each model encodes the same texts, or as many of the same length by its own tokenizer. Cold is the first
round, which is not in any other figure; those that follow it are warm.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mixbench.errors import InputError, UnknownName
from mixbench.evaluation.provenance import describe_run
from mixbench.experiments.bench import CANNOT_RUN, leave_out, take_turns, torch_threads
from mixbench.experiments.bench_encode_models import open_encoder
from mixbench.experiments.bench_encode_report import COLUMNS, RULE, EncodeContender, encode_row
from mixbench.experiments.bench_encode_texts import synthetic_texts
from mixbench.experiments.bench_report import BenchReport
from mixbench.experiments.lineage import command_line
from mixbench.experiments.matmul_peak import MatmulPeak, matmul_peak
from mixbench.experiments.systems import EncoderOptions


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """How models are timed. `tokens` is the length of synthetic texts; None where texts are given.

    `threads` of None are those that torch has. Raises InputError for a number that is too low.
    """

    documents: int = 256
    tokens: int | None = None
    rounds: int = 5
    warm_up: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        InputError.check_least(1, **asdict(self))


def bench_encode(
    names: Sequence[str],
    options: EncoderOptions,
    settings: EncodeSettings,
    *,
    baseline: str | None = None,
    texts: Sequence[str] | None = None,
    source: str = "synthetic",
) -> BenchReport:
    """Time the encoding of `texts`, which come from `source`, by the models of `names`.

    Without `texts` each model has its own, of `settings.tokens` tokens. Ratios are to `baseline`, the first
    of `names` unless another is given. A model other than that which cannot encode is left out, with a note.

    Raises:
        InputError: no names, one twice, or neither texts nor a length; texts that a model cannot read.
        UnknownName: nothing answers to a name, or the baseline is not among them.
        MixbenchError: the baseline cannot encode.
    """
    ordered = _baseline_first(names, baseline)
    _check_texts(texts, settings.tokens, source)
    notes: list[str] = [RULE]
    with torch_threads(settings.threads) as threads:
        contenders = _contenders(ordered, options, settings, texts, notes)
        cold = take_turns(contenders, settings.warm_up, notes, called="warm-up")
        for contender, warming in zip(contenders, cold, strict=True):
            contender.cold_seconds = warming[0]
        seconds = take_turns(contenders, settings.rounds, notes)
        dtype = contenders[0].encoder.model.dtype or torch.float32
        peak = matmul_peak(options.device, dtype, seed=options.seed)
    documents = settings.documents if texts is None else len(texts)
    rows = [
        encode_row(contender, times, documents, contenders[0].flops, peak.flops_per_second)
        for contender, times in zip(contenders, seconds, strict=True)
    ]
    given = {"documents": documents, "texts": source, "threads": threads} | _held(peak)
    provenance = describe_run(command=command_line(sys.argv[1:]), device=options.device, seed=options.seed)
    return BenchReport(
        title="Encoding documents",
        unit="documents",
        per_round=documents,
        settings=asdict(settings) | _told(options) | given,
        rows=sorted(rows, key=lambda row: list(names).index(row.name)),
        against=[ordered[0]],
        columns=COLUMNS,
        notes=notes,
        provenance=provenance.model_dump(),
    )


def _check_texts(texts: Sequence[str] | None, tokens: int | None, source: str) -> None:
    if (texts is None) == (tokens is None):
        raise InputError("texts come from a task or have a number of tokens; give either -t or --tokens")
    if texts is not None and not texts:
        raise InputError(f"{source} has no documents to encode")


def _held(peak: MatmulPeak) -> dict[str, Any]:
    return {
        "peak_gflops": round(peak.flops_per_second / 1e9, 1),
        "peak_of": f"torch.matmul of {peak.size} x {peak.size} {peak.dtype}",
    }


def _told(options: EncoderOptions) -> dict[str, Any]:
    return {
        "batch_size": options.batch_size,
        "max_length": options.max_length or "each model's own",
        "device": options.device,
    }


def _baseline_first(names: Sequence[str], baseline: str | None) -> list[str]:
    if not names:
        raise InputError("no model to time; name one with -m, as mixer-tiny")
    for name in names:
        if list(names).count(name) > 1:
            raise InputError(f"model {name!r} is named twice; name it once")
    first = names[0] if baseline is None else baseline
    if first not in names:
        raise UnknownName.of("baseline", first, names)
    return [first, *(name for name in names if name != first)]


def _contenders(
    names: Sequence[str],
    options: EncoderOptions,
    settings: EncodeSettings,
    texts: Sequence[str] | None,
    notes: list[str],
) -> list[EncodeContender]:
    contenders: list[EncodeContender] = []
    for name in names:
        encoder = open_encoder(name, options)
        try:
            own = texts
            if own is None:
                assert settings.tokens is not None
                own = synthetic_texts(name, encoder.model, settings.documents, settings.tokens, options.seed)
            contenders.append(EncodeContender(encoder, own))
        except CANNOT_RUN as error:
            leave_out(name, error, notes, first=name == names[0])
    return contenders
