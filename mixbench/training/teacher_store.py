"""A teacher's embeddings on disk, each text embedded once for all runs, machines and sources.

    STORE/<first 16 of the teacher's SHA-256>/teacher.json     what the teacher is: `TeacherCard`
    STORE/<...>/<hash of the keys>/keys.npy                    (N, 16) bytes: what the rows are embeddings of
    STORE/<...>/<hash of the keys>/vectors.npy                 (N, D) float16: unit vectors

A key is a hash of the text and its side, since teachers have one prompt for queries and one for documents. A
part is written beside its place and renamed, so a run that is killed leaves whole parts only. Vectors are
memory-mapped. The teacher is asked only for texts that no part has.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.files import parse_json, write_atomic
from mixbench.full_disk import writing
from mixbench.training.arrays import read_array

CARD_FILE, KEYS_FILE, VECTORS_FILE = "teacher.json", "keys.npy", "vectors.npy"
DELETE = "delete its folder"
KEY_BYTES = 16
PART_ROWS = 20_000
"""A killed run loses at most so many embeddings."""

Side = Literal["query", "document"]
Encode = Callable[[Side, Sequence[str]], NDArray[Any]]
"""Texts of one side to embeddings (texts, D)."""


@dataclass(frozen=True, kw_only=True)
class TeacherCard:
    """What a teacher is: its name, the hash of its weights, its training sources and its dimension D.

    `training_sources` of None means that nobody says what it was trained on.
    """

    name: str
    sha256: str
    training_sources: Sequence[str] | None
    dimension: int


def stored_cards(root: Path) -> list[TeacherCard]:
    """Return the cards of all teachers below `root`. Raises CheckpointError for one that cannot be read."""
    return [read_card(path) for path in sorted(root.glob(f"*/{CARD_FILE}"))]


def read_card(path: Path) -> TeacherCard:
    """Read a teacher's card. Raises CheckpointError where it is missing or damaged."""
    try:
        card = TeacherCard(**parse_json(path.read_text(encoding="utf-8")))
        if not (isinstance(card.dimension, int) and isinstance(card.name, str) and len(card.sha256) == 64):
            raise ValueError("a field is of the wrong kind")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: no teacher's card can be read here ({error}); delete its folder"
        ) from None
    return card


def text_key(side: Side, text: str) -> bytes:
    """Return the key of a text: half a SHA-256 of its side and its characters."""
    payload = f"{side}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(payload).digest()[:KEY_BYTES]


class TeacherStore:
    """The embeddings of one teacher below the folder `root`.

    Raises:
        CheckpointError: the folder holds another teacher, or a part that is damaged or of another dimension.
    """

    def __init__(self, root: Path, card: TeacherCard) -> None:
        self.folder = root / card.sha256[:16]
        self.card = card
        path = self.folder / CARD_FILE
        if path.exists():
            stored = read_card(path)
            if (stored.sha256, stored.dimension) != (card.sha256, card.dimension):
                raise CheckpointError(
                    f"{path}: holds embeddings of {stored.name!r} in {stored.dimension} dimensions, not of"
                    f" {card.name!r} in {card.dimension}; delete its folder, or give another --teacher-store"
                )
        else:
            write_atomic(path, json.dumps(asdict(card), indent=2) + "\n")
        self.reread()

    def reread(self) -> None:
        """Take in what others have written here since."""
        self._parts: list[NDArray[np.float16]] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for keys in sorted(self.folder.glob(f"*/{KEYS_FILE}")):
            if not keys.parent.name.startswith("."):
                self._add(keys.parent)

    def missing(self, side: Side, texts: Iterable[str]) -> list[str]:
        """Return the distinct texts that have no embedding here, in their order."""
        return [text for text in dict.fromkeys(texts) if text_key(side, text) not in self._places]

    def fill(self, side: Side, texts: Sequence[str], encode: Encode) -> None:
        """Embed `texts` and keep them, a part at a time.

        Raises:
            MixbenchError: an embedding is not finite, or has not the teacher's dimension.
        """
        for start in range(0, len(texts), PART_ROWS):
            part = texts[start : start + PART_ROWS]
            vectors = np.asarray(encode(side, part), dtype=np.float32)
            if vectors.shape != (len(part), self.card.dimension) or not np.isfinite(vectors).all():
                raise MixbenchError(
                    f"teacher {self.card.name!r} gave embeddings of shape {vectors.shape} or not finite;"
                    f" {len(part)} of {self.card.dimension} dimensions were asked for"
                )
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._write([text_key(side, text) for text in part], vectors / np.maximum(lengths, 1e-12))

    def gather(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the embeddings (N, D) at `places` (N, 2), as `places_of` gave them."""
        found = np.empty((len(places), self.card.dimension), dtype=np.float16)
        for part in np.unique(places[:, 0]):
            rows = places[:, 0] == part
            found[rows] = self._parts[part][places[rows, 1]]
        return found

    def places_of(self, side: Side, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return part and row (N, 2) of each of `texts`. Raises InputError for one that is not here."""
        try:
            return np.array([self._places[text_key(side, text)] for text in texts], dtype=np.int64)
        except KeyError:
            raise InputError(f"{self.folder}: a {side} has no embedding here") from None

    def _write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        staged = Path(tempfile.mkdtemp(dir=self.folder, prefix=".part-"))
        try:
            raw = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
            with writing(self.folder / name):
                np.save(staged / VECTORS_FILE, vectors.astype(np.float16))
                np.save(staged / KEYS_FILE, raw)
            staged.chmod(0o755)
            if not (self.folder / name).exists():  # else another run was faster with the same texts
                staged.rename(self.folder / name)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self._add(self.folder / name)

    def _add(self, folder: Path) -> None:
        """Map a part and remember where its rows are."""
        keys = read_array(folder / KEYS_FILE, DELETE)
        # "c" maps for reading and keeps what anyone writes to memory; the file is never changed.
        vectors = read_array(folder / VECTORS_FILE, DELETE, mmap_mode="c")
        shape, expected = vectors.shape, (*keys.shape[:1], self.card.dimension)
        if (
            shape != expected
            or vectors.dtype != np.float16
            or keys.dtype != np.uint8
            or keys.shape[1:] != (KEY_BYTES,)
        ):
            raise CheckpointError(
                f"{folder}: holds {vectors.dtype} of shape {shape}, not float16 of {expected}; delete it"
            )
        number = len(self._parts)
        self._parts.append(vectors)
        for row, key in enumerate(keys):
            self._places[key.tobytes()] = (number, row)
