"""How an index holds the embeddings of documents: as floats, as int8 codes, or as one bit a dimension.

Only documents are quantised; the queries stay floats, and a score is the dot product of a query with what
the document's code stands for. The codes are those of sentence-transformers' `quantize_embeddings`:

- int8: each dimension's range over the whole corpus, cut into 255 equal steps; a code stands for the lower
  end of its step. No other texts calibrate it, so adding a document can change the codes of all.
- binary: the sign of each dimension, eight in a byte; a bit stands for 1 where the embedding is above zero,
  else for -1. The length of a document is lost, under the dot product too.

What a code stands for is not normalised again. Embeddings `on_disk` are in a file without a name in the
folder of temporary files, mapped into memory: the system reads what is looked at, and the file goes with the
index, however the program ends. Shapes: N documents, D dimensions, B bytes.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile, gettempdir
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mixbench.errors import UnknownName
from mixbench.full_disk import writing
from mixbench.retrievers.shards import take

KEPT_IN_MEMORY = 2**28
"""Bytes of float32 embeddings that wait in memory for their ranges; more than that waits in a file."""


class Stored(Protocol):
    """Embeddings of a corpus, held in some precision."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Return what some documents, a slice or int64 numbers, stand for: float32 (documents, D)."""
        ...


class FloatEmbeddings:
    """float32 embeddings as they are."""

    def __init__(self, chunks: Iterable[Tensor], count: int, *, on_disk: bool = False) -> None:
        self._rows_ND = _gathered(chunks, count, on_disk)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return self._rows_ND.nbytes

    def __len__(self) -> int:
        return len(self._rows_ND)

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Return the embeddings themselves."""
        return take(self._rows_ND, at)


class Int8Embeddings:
    """One signed byte a dimension, and the range of each dimension over the corpus."""

    def __init__(self, chunks: Iterable[Tensor], count: int, *, on_disk: bool = False) -> None:
        from sentence_transformers.util import quantize_embeddings

        most = 1 if on_disk else KEPT_IN_MEMORY
        with writing(Path(gettempdir())), SpooledTemporaryFile(max_size=most) as waiting:
            sizes, ranges_2D = [], torch.tensor([[torch.inf], [-torch.inf]])
            for chunk_ND in chunks:
                waiting.write(chunk_ND.contiguous().numpy().tobytes())
                sizes.append(chunk_ND.shape)
                low_D = torch.minimum(ranges_2D[0], chunk_ND.amin(dim=0))
                ranges_2D = torch.stack([low_D, torch.maximum(ranges_2D[1], chunk_ND.amax(dim=0))])

            def codes(size: torch.Size) -> Tensor:
                floats = np.frombuffer(waiting.read(4 * size.numel()), dtype=np.float32).reshape(size)
                return torch.from_numpy(quantize_embeddings(floats, "int8", ranges=ranges_2D.numpy()))

            waiting.seek(0)
            self._codes_ND = _gathered(map(codes, sizes), count, on_disk)
        self._low_D = ranges_2D[0].clone()
        step_D = (ranges_2D[1] - ranges_2D[0]) / 255
        self._step_D = torch.where(step_D == 0, 1, step_D)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and of the two numbers that each dimension has."""
        return self._codes_ND.nbytes + self._low_D.nbytes + self._step_D.nbytes

    def __len__(self) -> int:
        return len(self._codes_ND)

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Return the lower ends of the steps that the codes name."""
        return take(self._codes_ND, at).float().add_(128).mul_(self._step_D).add_(self._low_D)


class BinaryEmbeddings:
    """One bit a dimension, in whole bytes a document."""

    def __init__(self, chunks: Iterable[Tensor], count: int, *, on_disk: bool = False) -> None:
        from sentence_transformers.util import quantize_embeddings

        self._dimension = 0

        def packed(chunk_ND: Tensor) -> Tensor:
            self._dimension = chunk_ND.shape[1]
            return torch.from_numpy(quantize_embeddings(chunk_ND.numpy(), "ubinary"))

        self._packed_NB = _gathered(map(packed, chunks), count, on_disk)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits."""
        return self._packed_NB.nbytes

    def __len__(self) -> int:
        return len(self._packed_NB)

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Return 1 for each set bit and -1 for each other."""
        bits = np.unpackbits(take(self._packed_NB, at).numpy(), axis=1, count=self._dimension)
        return torch.from_numpy(bits).float().mul_(2).sub_(1)


PRECISIONS: dict[str, Callable[..., Stored]] = {
    "float32": FloatEmbeddings,
    "int8": Int8Embeddings,
    "binary": BinaryEmbeddings,
}


def checked_precision(precision: str) -> str:
    """Return `precision`, one of `PRECISIONS`; raise UnknownName for another."""
    if precision not in PRECISIONS:
        raise UnknownName.of("precision", precision, PRECISIONS)
    return precision


def precision_recipe(precision: str) -> dict[str, str]:
    """Return what a recipe says of `precision`: nothing of float32, which has always gone without saying."""
    if precision == "float32":
        return {}
    return {"precision": precision, "quantised": "documents, scored against float queries"}


def _gathered(chunks: Iterable[Tensor], count: int, on_disk: bool) -> Tensor:
    """Return `count` rows in one tensor, of the type of the first chunk; no chunk is kept."""
    if on_disk:
        return _mapped(chunks)
    gathered, start = torch.empty(0, 0), 0
    for chunk in chunks:
        if start == 0:
            gathered = torch.empty(count, chunk.shape[1], dtype=chunk.dtype)
        gathered[start : start + len(chunk)] = chunk
        start += len(chunk)
    return gathered


def _mapped(chunks: Iterable[Tensor]) -> Tensor:
    """Return the rows of all chunks in one tensor, mapped from a file.

    The file is written before it is mapped: a full disk is an error then, and not the end of the process.
    """
    count, place = 0, Path(gettempdir())
    with writing(place), TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk.contiguous().numpy().data)
            count += len(chunk)
        file.flush()
        rows = np.memmap(file, chunk.numpy().dtype, mode="r+", shape=(count, chunk.shape[1]))
    return torch.from_numpy(rows)
