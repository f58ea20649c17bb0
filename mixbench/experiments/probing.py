"""`mixbench probe`: inversion of models, layer by layer, at several lengths and by several seeds."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.lineage import command_line
from mixbench.experiments.probe_report import ProbeRecord
from mixbench.experiments.probe_subjects import (
    Subject,
    SubjectOptions,
    first_tokens,
    open_subject,
    open_texts,
)
from mixbench.experiments.progress import progress_bar
from mixbench.files import write_atomic
from mixbench.models import PRESETS

if TYPE_CHECKING:
    from torch import Tensor

    from mixbench.probes.forms import Form
    from mixbench.probes.inversion import Inversion, TextInversion


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What is inverted and how.

    `steps` of None are the form's. `layers` are numbers with commas, "all", or None for the last. The texts
    are the beginnings of the first documents of `text` that are long enough for all lengths and models; or,
    with `random`, uniform random tokens, of the first `vocabulary` alone where that is given. Untrained
    embeddings are independent rows, so those tokens make a model of a smaller vocabulary.
    """

    form: str = "fair"
    steps: int | None = None
    layers: str | None = None
    lengths: Sequence[int] = (32,)
    hidden: int = 0
    text: str | None = None
    random: bool = False
    vocabulary: int | None = None
    texts: int = 8
    seeds: int = 1
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.random and self.text is not None:
            raise InputError("--random takes no text: leave out --text, or --random")
        if self.vocabulary is not None and not self.random:
            raise InputError("--vocabulary says which tokens are drawn; give it with --random")


class Tokens(NamedTuple):
    """What each model is given: ids (N, T) of its own tokenizer, and where they come from."""

    ids_NT: "list[Tensor]"
    source: dict[str, Any]


def run_probe(
    names: Sequence[str], options: ProbeOptions, opening: SubjectOptions, output: Path | None = None
) -> list[ProbeRecord]:
    """Invert the states of the models called `names`, and return a record for each layer, length and seed.

    Records are written below `output` one by one, as they are done.

    Raises:
        UnknownName: there is no such model or form.
        InputError: a model has no states to invert, no such layer, or too short a context; or there are too
            few texts.
    """
    form = _form(options)
    subjects = [open_subject(name, opening) for name in names]
    check_names(subjects)
    inversions = [_inversion(subject, form, options) for subject in subjects]
    layers = [_layers(inversion, options) for inversion in inversions]
    given = _tokens(subjects, inversions, options)
    provenance = [_provenance(opening.device, seed) for seed in range(options.seeds)]
    passes = options.seeds * len(options.lengths) * sum(map(len, layers))
    records = []
    with progress_bar("probing", passes * options.texts) as advance:
        for number, seed in product(range(len(names)), range(options.seeds)):
            subject, inversion = subjects[number], inversions[number]
            if seed and names[number] in PRESETS:
                subject = open_subject(names[number], opening, seed)
                inversion = _inversion(subject, form, options)
            for layer, tokens in product(layers[number], options.lengths):
                found = _inverted(inversion, given.ids_NT[number][:, :tokens], layer, seed, options, advance)
                record = ProbeRecord(
                    model=subject.name,
                    model_sha256=subject.sha256,
                    architecture=subject.architecture,
                    embedding_deviation=inversion.deviation,
                    layer=layer,
                    layers=inversion.encoder.layers,
                    tokens=tokens,
                    seed=seed,
                    settings=_settings(form, options, opening),
                    source={**given.source, "ids_sha256": _ids_sha256(given.ids_NT[number])},
                    texts=found,
                    provenance=provenance[seed],
                )
                if output is not None:
                    write_atomic(output / record.place, record.to_json())
                records.append(record)
    return records


def check_names(subjects: Sequence[Subject]) -> None:
    """Raise InputError where two subjects have one name, so that nobody could tell their rows apart."""
    names = [subject.name for subject in subjects]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two of the models are called {name!r}; name each once, or rename a folder")


def _form(options: ProbeOptions) -> "Form":
    from mixbench.probes.forms import FORMS

    if options.form not in FORMS:
        raise UnknownName.of("form of inversion", options.form, FORMS)
    kind = FORMS[options.form]
    return kind() if options.steps is None else kind(steps=options.steps)


def _inversion(subject: Subject, form: "Form", options: ProbeOptions) -> "Inversion":
    from mixbench.models.states import open_states
    from mixbench.probes.inversion import Inversion

    encoder = open_states(subject.model)
    return Inversion(encoder, form, vocabulary=options.vocabulary, pad=subject.tokenizer.pad_token_id)


def _layers(inversion: "Inversion", options: ProbeOptions) -> Sequence[int]:
    """Return the layers asked for, all of which the model has, and whose texts it can read."""
    depth = inversion.encoder.layers
    layers: Sequence[int] = [depth]
    if options.layers == "all":
        layers = range(1, depth + 1)
    elif options.layers is not None:
        try:
            layers = sorted({int(part) for part in options.layers.split(",")})
        except ValueError:
            raise InputError(f"layers {options.layers!r}: give numbers with commas, as 1,4, or all") from None
    for layer, tokens in product(layers, options.lengths):
        inversion.check(tokens, layer=layer, hidden=options.hidden)
    return layers


def _tokens(subjects: Sequence[Subject], inversions: "Sequence[Inversion]", options: ProbeOptions) -> Tokens:
    longest = max(options.lengths)
    if options.random:
        import torch

        shape = (options.texts, longest)
        drawn = [
            torch.randint(0, len(each.embedding_Vd), shape, generator=torch.Generator().manual_seed(0))
            for each in inversions
        ]
        return Tokens(drawn, {"name": "random"})
    texts = open_texts(options.text)
    tokenizers = [subject.tokenizer for subject in subjects]
    chosen = first_tokens(texts, tokenizers, tokens=longest, count=options.texts)
    return Tokens(chosen.ids_NT, {"name": texts.source.name, "sha256": texts.source.sha256})


def _inverted(
    inversion: "Inversion",
    ids_NT: "Tensor",
    layer: int,
    seed: int,
    options: ProbeOptions,
    advance: Callable[[int], None],
) -> "list[TextInversion]":
    found: list[TextInversion] = []
    for start in range(0, len(ids_NT), options.batch_size):
        ids_BT = ids_NT[start : start + options.batch_size]
        found += inversion.invert(ids_BT, layer=layer, hidden=options.hidden, seed=seed)
        advance(len(ids_BT))
    return found


def _settings(form: "Form", options: ProbeOptions, opening: SubjectOptions) -> dict[str, Any]:
    return {
        "form": form.name,
        "steps": form.steps,
        "rate": form.rate,
        "noise": form.noise,
        "hidden": options.hidden,
        "vocabulary": options.vocabulary,
        "embedding_deviation": opening.embedding_deviation,
    }


def _ids_sha256(ids_NT: "Tensor") -> str:
    return hashlib.sha256(ids_NT.numpy().tobytes()).hexdigest()


def _provenance(device: str, seed: int) -> dict[str, Any]:
    from mixbench.evaluation.provenance import describe_run

    return describe_run(command=command_line(sys.argv[1:]), device=device, seed=seed).model_dump()
