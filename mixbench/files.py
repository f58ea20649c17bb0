"""Files: hashed, opened and read whatever their compression, and written all at once or not at all."""

import bz2
import gzip
import hashlib
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from mixbench.errors import InputError
from mixbench.full_disk import writing

OPENERS: dict[str, Callable[[Path, str], object]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


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


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, numbered from 1; blank ones are left out. Raises InputError."""
    number = 0
    try:
        with open_binary(path) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    text = raw.decode()
                except UnicodeDecodeError as error:
                    problem = f"not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
                    raise InputError.at(path, number, problem) from error
                if not text.isspace():
                    yield number, text.rstrip("\r\n")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError.at(
            path, number + 1, f"cannot be read: {error}; fetch or unpack the file again"
        ) from error


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
