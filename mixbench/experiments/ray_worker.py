"""What runs on a worker: a model that is opened once, and shards of texts that it encodes as `eval` would.

Nothing of Ray is imported here, so that a worker is an object like any other.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixbench.data import Document
from mixbench.data.hub import stay_offline
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.retrievers.dense import DenseRetriever

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A model folder to be written anew: each file's path within it, and its bytes."""

    folder: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a worker opens an encoder: its name, the options, and what must come of it, last bits included.

    `settings` are those of the process that asks; `worker` must have the same, or its embeddings differ.
    """

    name: str
    options: EncoderOptions
    settings: Mapping[str, Any]


class Worker:
    """Encodes shards for one model at a time."""

    def __init__(self) -> None:
        self._encoder: DenseRetriever | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="mixbench-")

    def open(self, source: Source, packed: Packed | None = None) -> None:
        """Open the model that is to encode from now on, from its own folder or a packed one.

        Raises MixbenchError for a model that cannot be opened here, or that would encode otherwise.
        """
        self._encoder = None  # its memory is the next one's
        self._encoder = self._opened(source, packed)

    def encode(self, texts: Sequence[str]) -> tuple["Tensor", int | None]:
        """Return the embeddings (texts, dimension), and the texts of a batch where memory had it halved."""
        encoder = self._encoder
        assert encoder is not None
        encoder.encoding.forget()
        embeddings = encoder.encode_documents([Document("", "", text) for text in texts]).cpu()
        return embeddings, encoder.encoding.halved_batch

    def _opened(self, source: Source, packed: Packed | None) -> DenseRetriever:
        name, options = source.name, source.options
        if options.offline:
            stay_offline()
        if packed is not None:
            folder = unpack(packed, Path(self._folder.name))
            trusted = (str(folder),) if options.trusts(name) else ()
            name, options = str(folder), replace(options, trust_remote_code=trusted)
        encoder = open_system(name, options)
        if not isinstance(encoder, DenseRetriever):
            raise InputError(f"model {source.name!r} is no encoder of sentence-transformers here")
        check_alike(source, encoder.settings)
        return encoder


def pack(folder: Path) -> Packed:
    """Return the files of a model folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return Packed(folder=folder.resolve().name, files=files)


def unpack(packed: Packed, place: Path) -> Path:
    """Write a model folder in an own folder below `place`, and return its path."""
    folder = Path(tempfile.mkdtemp(dir=place)) / packed.folder
    for name, content in packed.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def check_alike(source: Source, settings: Mapping[str, Any]) -> None:
    """Raise MixbenchError where a model is not what it is in the process that asks."""
    for name, wanted in source.settings.items():
        if settings[name] != wanted:
            raise MixbenchError(
                f"model {source.name!r} would be encoded otherwise here: {name} is {settings[name]!r}, and"
                f" {wanted!r} where eval runs; install the same releases and files"
            )
