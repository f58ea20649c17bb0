"""Files: hashed, opened and read whatever their compression, and written all at once or not at all."""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import tempfile
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from mixbench.errors import InputError
from mixbench.full_disk import writing

OPENERS: dict[str, Callable[[Path, str], object]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)
"""What reading a file raises that is cut, spoiled, or asks for more memory to unpack than there is."""
LONGEST_LINE = 16 << 20
"""Bytes of a line, unpacked; a longer one is refused before it is held."""
EXPANSION = 200
"""How many times its size a packed file may unpack to, beyond `LONGEST_LINE`; more looks like a bomb."""


def is_bomb(size: int, packed: int) -> bool:
    """Tell whether `packed` bytes unpack to suspiciously many, `size`."""
    return size > max(LONGEST_LINE, EXPANSION * packed)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, so that a reader sees the old file or the whole new one.

    Raises MixbenchError where there is no room for it, or it may not be written.
    """
    payload = content.encode() if isinstance(content, str) else content
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(payload)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def check_writable(folder: Path) -> None:
    """Raise MixbenchError where nothing can be written to `folder`, which is made later; leaves no trace."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    with writing(folder), tempfile.TemporaryFile(dir=existing):
        pass


def open_binary(path: Path) -> IO[bytes]:
    """Open `path` for reading bytes, through gzip, xz or bzip2 where its last suffix says so."""
    return cast(IO[bytes], OPENERS.get(path.suffix, open)(path, "rb"))


def read_whole(path: Path) -> bytes:
    """Return the content of a file, unpacked. Raises InputError for what cannot be read, and for a bomb."""
    try:
        packed = _packed_size(path)
        with open_binary(path) as stream:
            content = bytearray()
            while chunk := stream.read(LONGEST_LINE):
                content += chunk
                _refuse_bomb(path, len(content), packed)
    except DAMAGED as error:
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError.at(path, None, f"cannot be read: {problem}") from error
    return bytes(content)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, numbered from 1; blank ones are left out.

    Raises InputError for what cannot be read, for a line longer than `LONGEST_LINE`, and for a bomb.
    """
    number = 0
    try:
        for number, raw in enumerate(_lines(path), start=1):
            if len(raw) > LONGEST_LINE:
                problem = f"a line of more than {LONGEST_LINE >> 20} MiB; divide it into shorter ones"
                raise InputError.at(path, number, problem)
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                problem = f"not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
                raise InputError.at(path, number, problem) from error
            if not text.isspace():
                yield number, text.rstrip("\r\n")
    except DAMAGED as error:
        raise InputError.at(
            path, number + 1, f"cannot be read: {error}; fetch or unpack the file again"
        ) from error


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, of one that is too long no more than shows that."""
    packed, size = _packed_size(path), 0
    with open_binary(path) as stream:
        while raw := stream.readline(LONGEST_LINE + 1):
            size += len(raw)
            if packed is not None:
                _refuse_bomb(path, size, packed)
            yield raw


def _packed_size(path: Path) -> int | None:
    return path.stat().st_size if path.suffix in OPENERS else None


def _refuse_bomb(path: Path, size: int, packed: int | None) -> None:
    if packed is not None and is_bomb(size, packed):
        problem = f"its {packed} bytes unpack to more than {EXPANSION} times as many"
        raise InputError.at(path, None, f"{problem}; if you trust it, unpack it and give the plain file")


def parse_json(content: str | bytes) -> Any:
    """Return what JSON holds. Raises ValueError, JSONDecodeError where it can say the place."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_toml(content: str) -> dict[str, Any]:
    """Return what TOML holds. Raises ValueError, TOMLDecodeError where it can say the place."""
    try:
        return tomllib.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the bytes of one file, as hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_files(root: Path, paths: Iterable[Path]) -> str:
    """Return one SHA-256 over several files: their names relative to `root`, and their contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()
