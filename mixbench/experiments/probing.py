"""`mixbench probe`: inversion of models, layer by layer, at several lengths and by several seeds."""

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
    check_names,
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


Source = dict[str, str]
"""Name of the texts, and the hash of a file of them."""


class Plan(NamedTuple):
    """One model and what is done with it: layers, and ids (N, T) of its own tokenizer."""

    subject: Subject
    inversion: "Inversion"
    layers: Sequence[int]
    ids_NT: "Tensor"


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
    plans, source = _plans([open_subject(name, opening) for name in names], form, options)
    settings = _settings(form, options, opening)
    provenance = [_provenance(opening.device, seed) for seed in range(options.seeds)]
    passes = options.seeds * len(options.lengths) * sum(len(plan.layers) for plan in plans)
    records = []
    with progress_bar("probing", passes * options.texts) as advance:
        for (name, plan), seed in product(zip(names, plans, strict=True), range(options.seeds)):
            if seed and name in PRESETS:
                subject = open_subject(name, opening, seed)
                plan = plan._replace(subject=subject, inversion=_inversion(subject, form, options))
            for layer, tokens in product(plan.layers, options.lengths):
                record = ProbeRecord(
                    model=plan.subject.name,
                    model_sha256=plan.subject.sha256,
                    architecture=plan.subject.architecture,
                    embedding_deviation=plan.inversion.deviation,
                    layers=plan.inversion.encoder.layers,
                    layer=layer,
                    tokens=tokens,
                    seed=seed,
                    settings=settings,
                    source=source,
                    texts=_inverted(plan, layer, tokens, seed, options, advance),
                    provenance=provenance[seed],
                )
                if output is not None:
                    write_atomic(output / record.place, record.to_json())
                records.append(record)
    return records


def _plans(subjects: Sequence[Subject], form: "Form", options: ProbeOptions) -> tuple[list[Plan], Source]:
    """Return what is done with each subject, all checked, and where the tokens come from."""
    check_names(subjects)
    inversions = [_inversion(subject, form, options) for subject in subjects]
    layers = [_layers(inversion, options) for inversion in inversions]
    ids, source = _tokens(subjects, inversions, options)
    return [Plan(*parts) for parts in zip(subjects, inversions, layers, ids, strict=True)], source


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


def _tokens(
    subjects: Sequence[Subject], inversions: "Sequence[Inversion]", options: ProbeOptions
) -> "tuple[list[Tensor], Source]":
    """Return the ids (N, T) of the longest length that each subject is given."""
    longest = max(options.lengths)
    if options.random:
        import torch

        shape = (options.texts, longest)
        drawn = [
            torch.randint(0, len(each.embedding_Vd), shape, generator=torch.Generator().manual_seed(0))
            for each in inversions
        ]
        return drawn, {"name": "random"}
    texts = open_texts(options.text)
    tokenizers = [subject.tokenizer for subject in subjects]
    chosen = first_tokens(texts, tokenizers, tokens=longest, count=options.texts)
    return chosen.ids_NT, {"name": texts.source.name, "sha256": texts.source.sha256}


def _inverted(
    plan: Plan, layer: int, tokens: int, seed: int, options: ProbeOptions, advance: Callable[[int], None]
) -> "list[TextInversion]":
    found: list[TextInversion] = []
    for start in range(0, len(plan.ids_NT), options.batch_size):
        ids_BT = plan.ids_NT[start : start + options.batch_size, :tokens]
        found += plan.inversion.invert(ids_BT, layer=layer, hidden=options.hidden, seed=seed)
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


def _provenance(device: str, seed: int) -> dict[str, Any]:
    from mixbench.evaluation.provenance import describe_run

    return describe_run(command=command_line(sys.argv[1:]), device=device, seed=seed).model_dump()
