"""What a target is: one reader, the valid files that it reads, and one attempt at it."""

import bz2
import gzip
import lzma
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixbench.errors import MixbenchError

from .guard import watching

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda content: gzip.compress(content, 1, mtime=0),
    "xz": lambda content: lzma.compress(content, preset=0),
    "bz2": bz2.compress,
}


@dataclass(frozen=True, kw_only=True)
class File:
    """A place that an input can go to: a path below the folder, packed before it is written or not."""

    name: str
    seeds: Sequence[bytes]
    pack: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader of a folder. The first byte of an input chooses one of `files`, the others are its content.

    `beside` are the valid files that lie there too, by name; the chosen one takes the place of its own.
    """

    read: Callable[[Path], object]
    files: Sequence[File]
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def seeds(self) -> list[bytes]:
        """Return the inputs to start from."""
        return [bytes([place]) + seed for place, file in enumerate(self.files) for seed in file.seeds]

    def prepare(self, folder: Path) -> None:
        """Write the files that lie beside an input."""
        for name, content in self.beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def attempt(self, folder: Path, data: bytes, *, memory: int | None = None) -> str | None:
        """Read one input in a prepared `folder`; return the message that it gets, None where it is valid.

        Raises whatever else comes out of the reader, and Breach as `guard.watching`.
        """
        file = self.files[data[0] % len(self.files)] if data else self.files[0]
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PACK[file.pack](data[1:]))
        try:
            with watching(folder, memory=memory):
                self.read(folder)
        except MixbenchError as error:
            check_line(str(error))
            return str(error)
        finally:
            if file.name in self.beside:
                path.write_bytes(self.beside[file.name])
            else:
                path.unlink(missing_ok=True)
            shutil.rmtree(folder / "made", ignore_errors=True)
        return None


def check_line(message: str) -> None:
    """Raise AssertionError where a message is not one short line, or holds what commands a terminal."""
    bad = [letter for letter in message if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not bad, f"holds {bad[0]!r}: {message!r:.300}"
    assert len(message) < 1000, f"{len(message)} characters: {message!r:.300}"


def packed(name: str, seeds: Sequence[bytes], forms: Sequence[str] = ("gz", "xz", "bz2")) -> list[File]:
    """Return the places of a file that may be packed: plain, packed for the input, and packed by it."""
    found = [File(name=name, seeds=seeds)]
    for form in forms:
        found.append(File(name=f"{name}.{form}", seeds=seeds[:2], pack=form))
        found.append(File(name=f"{name}.{form}", seeds=[PACK[form](seed) for seed in seeds[:2]]))
    return found
