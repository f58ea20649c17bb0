"""A disk that is full or may not be written, told as one line: what was not written, why, and what to do.

Libraries report it each in its own way. Python and numpy raise OSError, safetensors its own error with the
system's number in the text, torch a RuntimeError that only says that writing failed.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixbench.errors import MixbenchError

NO_SPACE = "no space left on the device"
LIMIT = "no space left under the limit on the size of a file (ulimit -f)"
MAY_NOT = {
    errno.EACCES: "permission denied",
    errno.EPERM: "the operation is not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a file stands where a folder should",
    errno.EEXIST: "a file stands where a folder should",
}
REASONS = {errno.ENOSPC: NO_SPACE, errno.EDQUOT: "no space left in the disk quota", errno.EFBIG: LIMIT}
TORCH = ("PytorchStreamWriter failed writing file", "basic_ios::clear: iostream error", "unexpected pos ")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise MixbenchError, with the name `path`, where what is written has no room or may not be."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MAY_NOT:
            may_not = MAY_NOT[error.errno]
            raise MixbenchError(f"{path}: cannot be written: {may_not}; choose another place") from error
        reason = no_room(error)
        if reason is None:
            raise
        raise MixbenchError(
            f"{path}: cannot be written: {reason}; free some space and run the command again"
        ) from error


def no_room(error: BaseException) -> str | None:
    """Return in words why `error` or one that it followed means that a disk is full; None if none does."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in REASONS:
            return REASONS[seen.errno]
        for number, reason in REASONS.items():
            if f"(os error {number})" in str(seen):
                return reason
        if any(words in str(seen) for words in TORCH):
            return f"{NO_SPACE}, or the device fails"
        seen = seen.__cause__ or seen.__context__
    return None
