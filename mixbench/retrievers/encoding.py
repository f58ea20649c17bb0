"""How documents are encoded whatever happens meanwhile: shard by shard, each of them kept.

A shard is a run of texts whose batches are formed from them alone. So a run that was ended repeats the
batches of the shards that it lacks, and its embeddings have the same bits whatever a store held before. Where
memory runs out, batches are halved: those embeddings agree within rounding.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mixbench.errors import MixbenchError
from mixbench.files import sha256_files
from mixbench.retrievers.store import EmbeddingStore, shard_key

if TYPE_CHECKING:
    from torch import Tensor

SHARD_TEXTS = 1_024
SHARD_BATCHES = 32
"""A shard has so many batches where that is more texts: in fewer, texts of a batch differ more in length."""
LIBRARIES = ("sentence-transformers", "tokenizers", "torch", "transformers")
PACKAGE = Path(__file__).parent.parent
OWN_CODE = (
    "attention.py",
    "dense.py",
    "cpu_encoding.py",
    "encoding.py",
    "lengths.py",
    "threads.py",
    "tokenising.py",
)
"""Of this room, beside all of `models`."""

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Encoding:
    """Where the retrievers of one command keep embeddings, and what befell them: one object for all.

    `say` is told of what is out of the ordinary, in a line. With `reading` off nothing is read from the
    store: where a speed is measured, all is computed.
    """

    store: EmbeddingStore | None = None
    spread: bool = False
    """Whether workers bring embeddings into the store, where they are then to be read."""
    memory: int | None = None
    """Bytes of embeddings that a retriever may hold, which has its index in a file then; None for any."""
    say: Callable[[str], None] = lambda message: None
    reading: bool = True
    documents_read: int = 0
    """Documents whose embeddings came from the store."""
    halved_batch: int | None = None
    """Texts of the smallest batch that was taken because memory had run out."""
    elsewhere: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """Keys of shards that workers encoded for this command: which one, and what batch memory left it."""
    workers: set[str] = field(default_factory=set)
    """Workers whose embeddings were read."""

    def forget(self) -> None:
        """Count from nothing again."""
        self.documents_read, self.halved_batch = 0, None
        self.workers.clear()

    def shard(
        self,
        settings: Mapping[str, Any],
        texts: Sequence[str],
        encode: Callable[[], "Tensor"],
        model: str,
    ) -> tuple["Tensor", bool]:
        """Return the embeddings of a shard, on the CPU, and whether they were read; else they are kept.

        `settings` hold a `model_sha256`; `model` is its name. An interrupt waits until the shard is kept.
        """
        if self.store is None:
            return encode().cpu(), False
        sha256, key = settings["model_sha256"], shard_key(settings, texts)
        found = self.store.read(sha256, key) if self.reading else None
        if found is not None:
            self.documents_read += len(texts)
            self._note_worker(key)
            return found, True
        with interrupts_wait(self.say):
            embeddings = encode().cpu()
            self.keep(sha256, key, embeddings, model)
        return embeddings, False

    def keep(self, sha256: str, key: str, embeddings: "Tensor", model: str) -> None:
        """Write a shard on the CPU into the store, if there is one."""
        if self.store is not None and np.isfinite(embeddings.float().numpy()).all():
            self.store.write(sha256, key, embeddings, model)  # others are refused, and not for ever

    def _note_worker(self, key: str) -> None:
        worker, halved = self.elsewhere.get(key, (None, None))
        if worker is not None:
            self.workers.add(worker)
        if halved is not None:
            self.note_batch(halved)

    def in_memory(self, encode: Callable[[int], T], batch_size: int, model: str) -> tuple[T, int]:
        """Return what `encode` gives of a number of texts in a batch, and that number.

        It is halved as often as memory runs out. Raises MixbenchError where there is none for a single text.
        """
        while True:
            try:
                return encode(batch_size), batch_size
            except (RuntimeError, MemoryError) as error:
                if not _no_memory(error):
                    raise
                if batch_size == 1:
                    reason = " ".join(str(error).split())[:200]
                    raise MixbenchError(
                        f"model {model!r}: no memory is left for one text at a time ({reason}); take a lower"
                        " --max-length, a smaller model or another --device"
                    ) from error
            # Out here the error is gone, and with its frames the tensors that they held.
            batch_size //= 2
            self.say(f"{model}: out of memory; goes on with {batch_size} texts in a batch")
            if (torch := sys.modules["torch"]).cuda.is_initialized():
                torch.cuda.empty_cache()

    def note_batch(self, texts: int) -> None:
        """Note that a batch had only so many texts, for lack of memory."""
        self.halved_batch = min(texts, self.halved_batch or texts)


def shard_texts(batch_size: int) -> int:
    """Return how many texts a shard has."""
    return max(SHARD_TEXTS, SHARD_BATCHES * batch_size)


@cache
def encoding_code() -> str:
    """Return what computes embeddings, beside a model's files: releases of libraries, and our own code.

    Embeddings of other code are not read, so that a change of either is seen in every score.
    """
    paths = [*(PACKAGE / "models").glob("*.py"), *(PACKAGE / "retrievers" / name for name in OWN_CODE)]
    own = sha256_files(PACKAGE, paths)
    return " ".join([*(f"{name}={version(name)}" for name in LIBRARIES), f"mixbench={own}"])


@contextmanager
def interrupts_wait(say: Callable[[str], None]) -> Iterator[None]:
    """Let Ctrl-C end the program after the block instead of within; pressed twice, at once."""
    if (
        current_thread() is not main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    pressed = False

    def wait(number: int, frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        say("interrupted: ends with this shard; press again to end at once")

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def _no_memory(error: Exception) -> bool:
    """Tell whether memory ran out: torch says so of a GPU by a class, of main memory only in words."""
    cuda = isinstance(error, sys.modules["torch"].OutOfMemoryError)
    return cuda or isinstance(error, MemoryError) or "can't allocate memory" in str(error)
