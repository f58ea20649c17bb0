"""A text as one long row of token ids: made once, kept in a file that is mapped into memory, and split.

Each document ends with the tokenizer's end token. Ids take 2 bytes where the vocabulary allows it, else 4.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from transformers import PreTrainedTokenizerFast

from mixbench.data.texts import Piece, TextSource, read_pieces
from mixbench.errors import CheckpointError, InputError
from mixbench.full_disk import writing
from mixbench.training.arrays import read_array

PIECES_AT_ONCE = 512


def cached_tokens(
    sources: Sequence[TextSource],
    tokenizer: PreTrainedTokenizerFast,
    cache: Path,
    advance: Callable[[int], None] = lambda characters: None,
) -> np.ndarray[Any, Any]:
    """Return the ids (N,) of all `sources` in order, mapped from a file in `cache`, which is made if absent.

    The file's name is a hash of the texts and of the tokenizer. `advance` is told characters as they come.

    Raises:
        InputError: a source cannot be read.
        CheckpointError: the file in the cache is damaged.
    """
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for source in sources:
        digest.update(f"\n{source.sha256}".encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if not path.is_file():
        _write(path, _rows(sources, tokenizer, advance), "<u2" if len(tokenizer) <= 1 << 16 else "<u4")
    advice = "delete it and start again"
    ids_N = read_array(path, advice, mmap_mode="r")
    if ids_N.ndim != 1 or ids_N.dtype not in (np.uint16, np.uint32):
        raise CheckpointError(f"{path}: holds {ids_N.dtype} of shape {ids_N.shape}, no token ids; {advice}")
    return ids_N


def _rows(
    sources: Sequence[TextSource], tokenizer: PreTrainedTokenizerFast, advance: Callable[[int], None]
) -> Iterator[list[int]]:
    end = int(tokenizer.eos_token_id)
    for source in sources:
        for pieces in _batches(read_pieces(source)):
            texts = [piece.text for piece in pieces]
            encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            for piece, ids in zip(pieces, encoded, strict=True):
                yield [*ids, end] if piece.last else ids
            advance(sum(map(len, texts)))


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    while batch := list(islice(pieces, PIECES_AT_ONCE)):
        yield batch


def _write(path: Path, rows: Iterable[list[int]], kind: str) -> None:
    """Write one .npy file, at once or not at all, without holding its ids in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with writing(path), os.fdopen(descriptor, "wb") as stream:
            _header(stream, kind, 0)
            count = 0
            for ids in rows:
                stream.write(np.asarray(ids, dtype=kind).tobytes())
                count += len(ids)
            stream.seek(0)  # numpy leaves room in a header for the count to grow
            _header(stream, kind, count)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _header(stream: IO[bytes], kind: str, count: int) -> None:
    write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": (count,)})


def split_tokens(
    ids_N: np.ndarray[Any, Any], end: int, context: int, seed: int, named: str = "the text"
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the ids to train on and those held out: a hundredth of them, and at least one window.

    Whole documents are held out in an order that `seed` gives, none of more than a tenth of all tokens. Where
    they do not fill a window, as in a text of one document, the end of the text is held out instead.

    Raises:
        InputError: the text has no room for a window to train on beside one held out.
    """
    window, total = context + 1, len(ids_N)
    if total < 2 * window:
        raise InputError(
            f"{named} has {total} tokens, and training needs {2 * window}: a window of {context} and the"
            " token after it, and as much held out; give more text"
        )
    wanted = max(window, total // 100)
    ends_D = np.flatnonzero(ids_N == end) + 1
    starts_D = np.concatenate([[0], ends_D[:-1]])
    held_N = np.zeros(total, dtype=bool)
    count = 0
    for number in np.random.default_rng(seed).permutation(len(ends_D)):
        start, stop = starts_D[number], ends_D[number]
        if stop - start <= max(total // 10, wanted) and total - count - (stop - start) >= window:
            held_N[start:stop] = True
            count += int(stop - start)
        if count >= wanted:
            break
    if count < window:
        held_N[:] = False
        held_N[-wanted:] = True
    return np.ascontiguousarray(ids_N[~held_N]), np.ascontiguousarray(ids_N[held_N])
