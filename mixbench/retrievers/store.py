"""Embeddings on disk: texts that were encoded once are read, by any task and after whatever ended a run.

    STORE/<first digits of the model's SHA-256>/<key>.safetensors     a shard: embeddings (N, D) of N texts

The key is a hash of the texts in their order and of the settings that decide their embeddings, as the model
gives them: before the index cuts, normalises or quantises. A shard is written beside its place and renamed,
so that processes may share a store: the worst is that two compute the same. Its metadata holds a checksum
over key, type, shape and bytes; what fails it is nobody's embedding. Reading a shard marks it as used, by its
time of modification, and past the limit the longest unused go.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixbench.errors import InputError, MixbenchError
from mixbench.files import write_atomic
from mixbench.full_disk import writing

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
NAME = "embeddings"
GIB = 2**30
LIMIT = 10 * GIB
"""Bytes of a store unless another limit is given."""
COUNTED_EVERY = 64
"""Shards written between two counts of what others have written."""
LEFT_OVER = 3_600
"""Seconds after which a file that was not renamed belongs to a process that was killed."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A file of a store: its bytes and when it was last used, in seconds since 1970."""

    path: Path
    bytes: int
    used: float


def shard_key(settings: Mapping[str, Any], texts: Sequence[str]) -> str:
    """Return the key of `texts` as encoded by `settings` (JSON values): 32 digits of a SHA-256."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(f"\n{len(encoded)} ".encode() + encoded)
    return digest.hexdigest()[:32]


class EmbeddingStore:
    """Shards below `folder`, of at most `limit` bytes; `say` is told, in a line, of what goes wrong.

    What cannot be written costs nothing but its use later. Raises InputError where a file has the folder's
    place or the limit is below 0.
    """

    def __init__(
        self, folder: Path, *, limit: int = LIMIT, say: Callable[[str], None] = lambda message: None
    ) -> None:
        with suppress(PermissionError):  # what may not be looked at is told when it may not be written
            if folder.exists() and not folder.is_dir():
                raise InputError(f"{folder}: is no folder; give another place for the store")
        InputError.check_least(0, limit=limit)
        self.folder = folder
        self.limit = limit
        self.say = say
        self._held = self._written = 0
        self._writing = True

    def read(self, model_sha256: str, key: str) -> "Tensor | None":
        """Return the embeddings of a shard; None where it is not here, or damaged, which is said."""
        path = self._place(model_sha256, key)
        try:
            embeddings = _unpacked(path.read_bytes(), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.say(f"{path}: {error}; its texts are encoded again")
            return None
        with suppress(OSError):  # it may only be read, or has just been dropped by another process
            os.utime(path)
        return embeddings

    def holds(self, model_sha256: str, key: str) -> bool:
        """Tell whether a file is in the place of a shard; `read` tells whether it is whole."""
        return self._place(model_sha256, key).exists()

    @property
    def full(self) -> bool:
        """Whether nothing more is kept, since something could not be written."""
        return not self._writing

    def write(self, model_sha256: str, key: str, embeddings: "Tensor", model: str) -> None:
        """Keep a shard of embeddings (N, D) on the CPU; `model` is a name for people."""
        if not self._writing:
            return
        try:
            content = _packed(embeddings, key, model)
            write_atomic(self._place(model_sha256, key), content)
            self._make_room(len(content))
        except (OSError, MixbenchError) as error:
            self._writing = False
            self.say(f"{self.folder}: no more embeddings are kept ({error})")

    def shards(self) -> list[Shard]:
        """Return all shards, the longest unused first."""
        found = []
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            try:
                told = path.stat()
            except FileNotFoundError:
                continue  # another process has just dropped it
            if not path.name.startswith("."):
                found.append(Shard(path=path, bytes=told.st_size, used=told.st_mtime))
        return sorted(found, key=lambda shard: (shard.used, shard.path))

    def damaged(self) -> Iterator[tuple[Shard, str]]:
        """Yield each shard that is not whole, and what is wrong with it."""
        for shard in self.shards():
            try:
                _unpacked(shard.path.read_bytes(), shard.path.stem)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                yield shard, str(error)

    def prune(self, limit: int) -> list[Shard]:
        """Drop the longest unused shards until `limit` bytes hold the others, and what killed processes left.

        Returns the shards that went. Raises MixbenchError where that is not permitted.
        """
        shards = self.shards()
        held, gone = sum(shard.bytes for shard in shards), []
        for shard in shards:
            if held <= limit:
                break
            self.drop(shard)
            held -= shard.bytes
            gone.append(shard)
        for path in self.folder.glob(f"*/.*{SUFFIX}.*"):
            with suppress(FileNotFoundError), writing(path):
                if time.time() - path.stat().st_mtime > LEFT_OVER:
                    path.unlink()
        self._held = held
        return gone

    def drop(self, shard: Shard) -> None:
        """Drop one shard. Raises MixbenchError where that is not permitted."""
        with writing(shard.path):
            shard.path.unlink(missing_ok=True)

    def _make_room(self, added: int) -> None:
        if self._written % COUNTED_EVERY == 0:
            self._held = sum(shard.bytes for shard in self.shards())
        else:
            self._held += added
        self._written += 1
        if self._held > self.limit:
            self.prune(self.limit)

    def _place(self, model_sha256: str, key: str) -> Path:
        return self.folder / model_sha256[:16] / (key + SUFFIX)


def models_of(shards: Iterable[Shard]) -> dict[str, list[Shard]]:
    """Return shards by the name of their model; those without a header that can be read by "damaged"."""
    named: dict[str, list[Shard]] = {}
    for shard in shards:
        try:
            with shard.path.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                name = str(json.loads(stream.read(min(size, shard.bytes)))["__metadata__"]["model"])
        except (OSError, ValueError, KeyError, TypeError):
            name = "damaged"
        named.setdefault(name, []).append(shard)
    return named


def _packed(embeddings: "Tensor", key: str, model: str) -> bytes:
    from safetensors.torch import save

    rows = embeddings.detach().contiguous()
    return bytes(save({NAME: rows}, {"key": key, "model": model, "sha256": _checksum(rows, key)}))


def _unpacked(content: bytes, key: str) -> "Tensor":
    """Return the embeddings in a shard's file. Raises ValueError where they are not those of `key`."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        size = int.from_bytes(content[:8], "little")
        stated = json.loads(content[8 : 8 + size])["__metadata__"]["sha256"]
        embeddings: Tensor = load(content)[NAME]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no shard can be read here ({' '.join(str(error).split())[:80]})") from None
    if _checksum(embeddings, key) != stated:
        raise ValueError("fails its checksum")
    return embeddings


def _checksum(rows: "Tensor", key: str) -> str:
    import torch

    digest = hashlib.sha256(f"{key} {rows.dtype} {tuple(rows.shape)} ".encode())
    digest.update(rows.view(torch.uint8).numpy().data)
    return digest.hexdigest()
