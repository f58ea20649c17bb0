"""The names of `mixbench bench encode`, and what they encode with.

Beside every dense model that `eval` takes there are three forms: `st:MODEL`, which encodes by
sentence-transformers' own `encode` as its users call it; `DTYPE:MODEL`, whose weights are in that data type,
as `int8:minilm` or `float16:st:minilm`; and `PRESET[FIELD=VALUE,...]`, an untrained preset of another shape.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from sentence_transformers import SentenceTransformer

from mixbench.data import Document
from mixbench.errors import InputError, UnknownName
from mixbench.experiments.shaping import read_changes
from mixbench.experiments.systems import MINILM, EncoderOptions, minilm_folder, open_system
from mixbench.models import PRESETS, build_model
from mixbench.models.load import load_model, place
from mixbench.models.weights import DTYPES, INT8, cast_weights, weights_recipe
from mixbench.retrievers.cpu_encoding import CPU_TOKENS
from mixbench.retrievers.dense import DenseRetriever

PEER = "st:"
CHANGED = re.compile(r"(?P<base>[^\[\]]+)\[(?P<fields>[^\[\]]+)\]")


@dataclass(frozen=True, kw_only=True)
class BenchEncoder:
    """An opened model: who encodes, with what, and how long opening took, in seconds."""

    name: str
    settings: str
    model: SentenceTransformer
    encode: Callable[[Sequence[str]], object]
    load_seconds: float


def open_encoder(name: str, options: EncoderOptions) -> BenchEncoder:
    """Open what `name` stands for.

    Raises:
        UnknownName: nothing answers to the name.
        InputError: it is no encoder of texts, or has no such shape.
        CheckpointError: its folder or package cannot be used.
    """
    start = time.perf_counter()
    dtype, _, own = name.partition(":")
    if own and dtype in (*DTYPES, INT8):
        options = replace(options, dtype=dtype)
    else:
        own = name
    if own.startswith(PEER):
        model = open_peer(own.removeprefix(PEER), options)
        return BenchEncoder(
            name=name,
            settings=f"sentence-transformers {version('sentence-transformers')} encode",
            model=model,
            encode=lambda texts: model.encode(list(texts), batch_size=options.batch_size),
            load_seconds=time.perf_counter() - start,
        )
    retriever = _open_ours(own, options)
    batches = f"{CPU_TOKENS:,} tokens a batch" if options.device == "cpu" else None
    return BenchEncoder(
        name=name,
        settings=", ".join(filter(None, ["mixbench", retriever.weights, batches])),
        model=retriever.model,
        encode=lambda texts: retriever.encode_documents([Document("", "", text) for text in texts]),
        load_seconds=time.perf_counter() - start,
    )


def _open_ours(name: str, options: EncoderOptions) -> DenseRetriever:
    if CHANGED.fullmatch(name) is not None:
        model = cast_weights(place(build_shaped(name, options.seed), options.device), options.dtype)
        return DenseRetriever(
            model,
            name=name,
            model_sha256="",
            batch_size=options.batch_size,
            max_length=options.max_length,
            weights=weights_recipe(options.dtype, four_bit=False),
        )
    retriever = open_system(name, options)
    if not isinstance(retriever, DenseRetriever):
        raise InputError(f"model {name!r} does not encode texts by sentence-transformers; leave it out")
    return retriever


def open_peer(name: str, options: EncoderOptions) -> SentenceTransformer:
    """Open a model as a user of sentence-transformers does, its length and data type as asked for."""
    if name == MINILM:
        model = SentenceTransformer(str(minilm_folder()), device=options.device, local_files_only=True)
    elif Path(name).is_dir() or name.count("/") == 1:
        model = load_model(name, device=options.device, offline=options.offline)
    else:
        model = _open_ours(name, replace(options, dtype=None)).model
    if options.max_length is not None:
        model.max_seq_length = options.max_length
    return cast_weights(model, options.dtype)


def build_shaped(name: str, seed: int) -> SentenceTransformer:
    """Return the untrained model of "PRESET" or "PRESET[FIELD=VALUE,...]", on the CPU.

    Raises:
        UnknownName: there is no such preset.
        InputError: it has no such shape.
    """
    changed = CHANGED.fullmatch(name)
    base, fields = (name, []) if changed is None else (changed["base"], changed["fields"].split(","))
    if base not in PRESETS:
        raise UnknownName.of("preset", base, PRESETS)
    return build_model(base, seed=seed, changes=read_changes(base, fields))
