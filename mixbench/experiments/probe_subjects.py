"""What is probed: encoders by the names that `-m` of eval takes, and the tokens that they are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from mixbench.data.frozen import read_frozen
from mixbench.data.texts import TextSource, read_pieces, text_source
from mixbench.errors import InputError
from mixbench.experiments.shaping import changed_name, read_changes
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.models import PRESETS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

EMBEDDED = "stdlib-code"


@dataclass(frozen=True, kw_only=True)
class SubjectOptions:
    """How models are opened. `settings` and `embedding_deviation` change presets, which are untrained.

    `embedding_deviation` draws the token embeddings anew, from a normal distribution of that deviation.
    """

    settings: Sequence[str] = ()
    embedding_deviation: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.embedding_deviation is not None and not 0 < self.embedding_deviation < float("inf"):
            raise InputError(f"embedding_deviation must be above 0, not {self.embedding_deviation!r}")


class Subject(NamedTuple):
    """An encoder, its weights in float32."""

    name: str
    sha256: str
    architecture: str | None
    model: "SentenceTransformer"

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return cast("PreTrainedTokenizerBase", self.model[0].tokenizer)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Documents to take tokens from; `source` says which."""

    source: TextSource
    documents: Iterator[str] = field(repr=False)


def open_subject(name: str, options: SubjectOptions, seed: int = 0) -> Subject:
    """Return the encoder called `name`; an untrained preset has the weights of `seed`.

    Raises:
        UnknownName: nothing answers to the name.
        InputError: it is no encoder, or a trained one with settings of untrained ones.
    """
    from mixbench.retrievers.dense import DenseRetriever

    if name in PRESETS:
        return _open_preset(name, options, seed)
    for option, given in (
        ("--set", options.settings),
        ("--embedding-deviation", options.embedding_deviation),
    ):
        if given:
            raise InputError(f"{option} changes untrained presets, and {name!r} is none; leave it out")
    system = open_system(name, EncoderOptions(device=options.device, dtype="float32"))
    if not isinstance(system, DenseRetriever):
        raise InputError(f"{name!r} has no token embeddings to probe; name an encoder, as mixer-tiny")
    return Subject(system.name, system.model_sha256, system.architecture, system.model)


def check_names(subjects: Sequence[Subject]) -> None:
    """Raise InputError where two subjects have one name, so that nobody could tell their rows apart."""
    names = [subject.name for subject in subjects]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two of the models are called {name!r}; name each once, or rename a folder")


def _open_preset(preset: str, options: SubjectOptions, seed: int) -> Subject:
    import torch

    from mixbench.models import build_model
    from mixbench.models.architecture import architecture_of
    from mixbench.models.load import place
    from mixbench.models.states import open_states
    from mixbench.training.record import weights_sha256

    changes = read_changes(preset, options.settings)
    model, deviation = build_model(preset, seed=seed, changes=changes), options.embedding_deviation
    if deviation is not None:
        draw = torch.Generator().manual_seed(seed)
        torch.nn.init.normal_(open_states(model).embedding.weight, 0, deviation, generator=draw)
    name = f"untrained-{changed_name(preset, changes)}"
    return Subject(name, weights_sha256(model), architecture_of(model), place(model, options.device))


def open_texts(place: str | None) -> Texts:
    """Return the documents of a text or .jsonl file, or the functions of the embedded task without one."""
    if place is None:
        data = read_frozen(EMBEDDED, "test")
        source = TextSource(EMBEDDED, EMBEDDED, data.sha256)
        return Texts(source=source, documents=(document.text for document in data.corpus))
    source = text_source(place)
    return Texts(source=source, documents=_beginnings(source))


def _beginnings(source: TextSource) -> Iterator[str]:
    """Yield the first piece of each document: as much of it as anybody probes."""
    ended = True
    for piece in read_pieces(source):
        if ended:
            yield piece.text
        ended = piece.last


class Chosen(NamedTuple):
    """Documents that are long enough, and the ids (N, T) that each tokenizer makes of their beginnings."""

    documents: list[str]
    ids_NT: "list[Tensor]"


def first_tokens(
    texts: Texts, tokenizers: "Sequence[PreTrainedTokenizerBase]", *, tokens: int, count: int
) -> Chosen:
    """Return the first `count` documents that have so many `tokens` by every tokenizer, special ones aside.

    Raises:
        InputError: there are fewer.
    """
    import torch

    documents: list[str] = []
    rows: list[list[list[int]]] = [[] for _ in tokenizers]
    for document in texts.documents:
        found = [
            tokenizer(document, add_special_tokens=False, truncation=True, max_length=tokens)["input_ids"]
            for tokenizer in tokenizers
        ]
        if min(map(len, found)) == tokens:
            documents.append(document)
            for kept, ids in zip(rows, found, strict=True):
                kept.append(ids)
            if len(documents) == count:
                return Chosen(documents, [torch.tensor(each) for each in rows])
    raise InputError(
        f"{texts.source.place}: {len(documents)} of its documents have {tokens} tokens or more, and {count}"
        " are asked for; take fewer or shorter texts"
    )
