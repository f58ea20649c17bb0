"""Zips from the web: fetched with a time-out, tested, and unpacked nowhere but in the folder given.

beir.util does this too, but its download has no time-out and takes the page that says 404 for the zip.
"""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from mixbench.errors import MixbenchError
from mixbench.files import is_bomb
from mixbench.full_disk import no_room

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What the readers of zips raise where one is spoiled, or asks for what they cannot do."""
Progress = Callable[[int, int], None]
"""Called with bytes received and bytes in all, 0 where that is not known."""


def fetch_zip(url: str, folder: Path, timeout: float, progress: Progress | None = None) -> None:
    """Download a zip and unpack it into `folder`, which must not exist; `timeout` is seconds without a byte.

    Raises MixbenchError saying what went wrong with `url`.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    fetch_file(url, archive, timeout, progress)
    unpack(archive, folder, url)
    archive.unlink()


def failed(
    url: str, problem: str, advice: str = "try again, or give another address with --url"
) -> MixbenchError:
    """Return the error for a download that cannot be used."""
    return MixbenchError(f"{url}: {problem}; {advice}")


def fetch_file(url: str, path: Path, timeout: float, progress: Progress | None = None) -> None:
    """Download `url` to `path`, whole. Raises MixbenchError saying what went wrong with `url`."""
    received = expected = 0
    try:
        # Compressed on the way, the length announced would not be the length written.
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, stream=True, timeout=timeout, headers=headers) as response,
            path.open("wb") as file,
        ):
            if response.status_code != requests.codes.ok:
                raise failed(url, f"the server answered {response.status_code} {response.reason}")
            expected = int(response.headers.get("Content-Length", 0))
            for chunk in response.iter_content(chunk_size=1 << 18):
                received += file.write(chunk)
                if progress:
                    progress(received, expected)
    except requests.exceptions.ChunkedEncodingError as error:
        raise failed(url, f"cut off before all of its {expected or '(unknown)'} bytes came") from error
    except requests.RequestException as error:
        if "timed out" in str(error):
            raise failed(url, f"nothing came for {timeout:g} s, after {received} bytes") from error
        raise failed(url, f"no connection ({type(error).__name__})") from error
    if received < expected:
        raise failed(url, f"cut off before all of its {expected} bytes came")


def unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack the zip `archive`, fetched from `url`, into `folder`, which must not exist.

    Raises MixbenchError for a zip that is damaged, would write outside `folder`, or unpacks to suspiciously
    much.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                _check_place(member, folder, url)
            size, packed = sum(member.file_size for member in members), archive.stat().st_size
            if is_bomb(size, packed):
                raise failed(url, f"the zip of {packed} bytes would unpack to {size}", "mistrust it")
            for member in members:
                with _damage_told(member, url):
                    opened.extract(member, folder)  # no more bytes than it states, with its checksum
    except UNREADABLE as error:
        if no_room(error) is not None:
            raise
        reason = getattr(error, "strerror", None) or str(error)
        problem = f"not a zip that can be unpacked ({type(error).__name__}: {reason:.100})"
        raise failed(url, problem) from error


@contextmanager
def _damage_told(member: zipfile.ZipInfo, url: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise failed(url, f"{member.filename!r:.80} in the zip is damaged") from error


def _check_place(member: zipfile.ZipInfo, folder: Path, url: str) -> None:
    inside = (folder / member.filename).resolve().is_relative_to(folder.resolve())
    if not inside or stat.S_ISLNK(member.external_attr >> 16):
        problem = f"the zip would write outside its folder ({member.filename!r:.80})"
        raise failed(url, problem, "mistrust it")
