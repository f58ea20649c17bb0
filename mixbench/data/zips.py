"""Zips from the web: fetched with a time-out, tested, and unpacked nowhere but in the folder given.

beir.util does this too, but its download has no time-out and takes the page that says 404 for the zip.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import requests

from mixbench.errors import MixbenchError

Progress = Callable[[int, int], None]
"""Called with bytes received and bytes in all, 0 where that is not known."""


def fetch_zip(url: str, folder: Path, timeout: float, progress: Progress | None = None) -> None:
    """Download a zip and unpack it into `folder`, which must not exist; `timeout` is seconds without a byte.

    Raises MixbenchError saying what went wrong with `url`.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    fetch_file(url, archive, timeout, progress)
    _unpack(archive, folder, url)
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


def _unpack(archive: Path, folder: Path, url: str) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                inside = (folder / member.filename).resolve().is_relative_to(folder.resolve())
                if not inside or stat.S_ISLNK(member.external_attr >> 16):
                    raise failed(
                        url,
                        f"the zip would write outside its folder ({member.filename!r:.80})",
                        "mistrust it",
                    )
            damaged = opened.testzip()
            if damaged is not None:
                raise failed(url, f"{damaged!r:.80} in the zip is damaged")
            opened.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise failed(url, f"not a zip that can be unpacked ({error})") from error
