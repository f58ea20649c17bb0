"""`mixbench retention`: how many tokens a decoder rebuilds from the embedding that a model makes."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mixbench.errors import InputError
from mixbench.experiments.estimates import Estimate, estimate
from mixbench.experiments.json_report import JsonReport
from mixbench.experiments.lineage import command_line
from mixbench.experiments.probe_subjects import (
    Subject,
    SubjectOptions,
    check_names,
    first_tokens,
    open_subject,
    open_texts,
)
from mixbench.experiments.progress import progress_bar
from mixbench.models import PRESETS

if TYPE_CHECKING:
    from torch import Tensor

    from mixbench.probes.retention import Embedded, RetentionSettings, TextRetention


@dataclass(frozen=True, kw_only=True)
class RetentionOptions:
    """Texts and decoder. Of each text so many `tokens` are read, and the model's special ones."""

    tokens: int = 32
    text: str | None = None
    texts: int = 1_000
    held_out: int = 100
    width: int = 128
    depth: int = 2
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class RetentionRow:
    """One encoder, an untrained copy of it, or the frequencies of tokens alone."""

    encoder: str
    texts: int
    cross_entropy: Estimate
    """Nats a token, on texts held out."""
    accuracy: Estimate
    retained: float
    """1 less the cross-entropy over the logarithm of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class RetentionReport(JsonReport):
    """What was measured of which models, and how."""

    rows: Sequence[RetentionRow]
    models: dict[str, str]
    """Hash of the weights, by name."""
    source: dict[str, str]
    settings: dict[str, Any]
    provenance: dict[str, Any]

    def table(self) -> Table:
        """Return the report as `retention_table` lays it out."""
        return retention_table(self)


def run_retention(
    names: Sequence[str], options: RetentionOptions, settings: "RetentionSettings"
) -> RetentionReport:
    """Train a decoder on the embeddings of each model, and of an untrained copy of each trained one.

    Raises:
        UnknownName: there is no such model.
        InputError: a model is no encoder of tokens, or reads too few; or there are too few texts.
    """
    from mixbench.evaluation.provenance import describe_run
    from mixbench.models.untrained import untrained_copy
    from mixbench.probes.retention import guess_without_embedding

    opening = SubjectOptions(device=options.device)
    subjects = [open_subject(name, opening, settings.seed) for name in names]
    check_names(subjects)
    vocabularies = [_vocabulary(subject, options.tokens) for subject in subjects]
    texts = open_texts(options.text)
    tokenizers = [subject.tokenizer for subject in subjects]
    count = options.texts + options.held_out
    chosen = first_tokens(texts, tokenizers, tokens=options.tokens, count=count)
    made = describe_run(command=command_line(sys.argv[1:]), device=options.device, seed=settings.seed)
    rows = []
    for name, subject, ids_NT, vocabulary in zip(names, subjects, chosen.ids_NT, vocabularies, strict=True):
        measured = [subject]
        if name not in PRESETS:
            copy = untrained_copy(subject.model, settings.seed)
            measured.append(subject._replace(name=f"{subject.name}, untrained", model=copy))
        for each in measured:
            training, held_out = _embedded(each, chosen.documents, ids_NT, options)
            rows.append(_decoded(each.name, training, held_out, vocabulary, options, settings))
        guessed = guess_without_embedding(training, held_out, vocabulary)
        rows.append(_row(f"{subject.name}, no embedding", guessed, vocabulary))
    return RetentionReport(
        rows=rows,
        models={subject.name: subject.sha256 for subject in subjects},
        source={"name": texts.source.name, "sha256": texts.source.sha256},
        settings=_stated(options, settings),
        provenance=made.model_dump(),
    )


def retention_table(report: RetentionReport) -> Table:
    """Return a report as a table, means with their intervals."""
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    table = Table(title="Retention: tokens rebuilt from one embedding", title_justify="left")
    table.caption = f"{report.rows[0].texts} texts held out; {settings}"
    table.add_column("encoder")
    for heading in ("cross-entropy, nats (95 %)", "accuracy (95 %)", "retained"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        figures = (row.cross_entropy.shown(), row.accuracy.shown(), f"{row.retained:.3f}")
        table.add_row(Text(row.encoder), *figures)
    return table


def _vocabulary(subject: Subject, tokens: int) -> int:
    """Return the tokens that an encoder knows, and let it read so many `tokens` of a text.

    Raises:
        InputError: it has no token embeddings, or cannot read so many.
    """
    from mixbench.models.states import open_states

    encoder = open_states(subject.model)
    special = len(subject.tokenizer("")["input_ids"])
    if tokens + special > encoder.context:
        raise InputError(
            f"{tokens} tokens and {special} special ones do not fit the {encoder.context}"
            f" that {subject.name!r} reads; take a shorter --length"
        )
    subject.model.max_seq_length = tokens + special
    return encoder.embedding.num_embeddings


def _embedded(
    subject: Subject, documents: Sequence[str], ids_NT: "Tensor", options: RetentionOptions
) -> "tuple[Embedded, Embedded]":
    """Return the texts to train on, and those held out, which are the last."""
    from mixbench.probes.retention import Embedded

    found_ND = subject.model.encode(
        list(documents),
        prompt="",  # a default one would take the place of tokens that are to be rebuilt
        convert_to_tensor=True,
        show_progress_bar=False,
    )
    embeddings_ND, ids_NT = found_ND.float().clone(), ids_NT.to(found_ND.device)
    first, rest = slice(options.texts), slice(options.texts, None)
    return Embedded(embeddings_ND[first], ids_NT[first]), Embedded(embeddings_ND[rest], ids_NT[rest])


def _decoded(
    name: str,
    training: "Embedded",
    held_out: "Embedded",
    vocabulary: int,
    options: RetentionOptions,
    settings: "RetentionSettings",
) -> RetentionRow:
    from mixbench.models.decoder import build_decoder
    from mixbench.probes.retention import log_frequencies, measure_retention

    sizes = {"tokens": options.tokens, "width": options.width, "depth": options.depth}
    dimension = training.embeddings_ND.shape[1]
    known_V = log_frequencies(training.ids_NT, vocabulary)
    decoder = build_decoder(dimension, known_V, **sizes, seed=settings.seed).to(options.device)
    with progress_bar(f"decoding {name}", settings.steps) as advance:
        return _row(name, measure_retention(decoder, training, held_out, settings, advance), vocabulary)


def _row(name: str, found: "Sequence[TextRetention]", vocabulary: int) -> RetentionRow:
    loss = estimate([[text.cross_entropy for text in found]])
    return RetentionRow(
        encoder=name,
        texts=len(found),
        cross_entropy=loss,
        accuracy=estimate([[text.accuracy for text in found]]),
        retained=1 - loss.mean / math.log(vocabulary),
    )


def _stated(options: RetentionOptions, settings: "RetentionSettings") -> dict[str, Any]:
    both = {**asdict(options), **asdict(settings)}
    return {name: value for name, value in both.items() if name not in {"text", "device"}}
