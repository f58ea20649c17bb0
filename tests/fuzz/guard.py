"""What reading may not do, watched by audit hooks, which fire below every library.

A hook cannot be taken away again, so there is one, and it looks only while a folder is watched.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""Longest time, of the processor, that one input may take."""
MEMORY = 1 << 30
"""Bytes of address space that one input may add."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {
    "os.chmod": (0,),
    "os.link": (1,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
}
"""Events that change files, and which of their arguments are the paths that change."""
PROCESSES = ("os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen")
NETWORK = ("socket.__new__", "socket.getaddrinfo", "socket.gethostbyname")

_watched: list[str] = []
_seen: list[str] = []


class Breach(AssertionError):
    """Reading did what it may not do."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes) and (flags or 0) & WRITES:
            _check(event, path)
    elif event in PATHS:
        for place in PATHS[event]:
            if isinstance(arguments[place], str | bytes | os.PathLike):
                _check(event, arguments[place])
    elif event in PROCESSES or event in NETWORK or event == "pickle.find_class":
        _seen.append(f"{event} {arguments!r:.100}")
    elif event == "exec" and getattr(arguments[0], "co_filename", "").startswith(_watched[0]):
        _seen.append(f"runs code of {arguments[0].co_filename}")


def _check(event: str, path: Any) -> None:
    name = os.fsdecode(path)
    folder = os.path.realpath(os.path.dirname(os.path.abspath(name)))
    inside = folder == _watched[0] or folder.startswith(_watched[0] + os.sep)
    if not inside and name != os.devnull and "__pycache__" not in name:
        _seen.append(f"{event} of {name}, outside the folder")


sys.addaudithook(_audit)


@contextmanager
def watching(folder: Path, *, memory: int | None = MEMORY) -> Iterator[None]:
    """Raise Breach where what is done meanwhile leaves `folder`, runs code, opens sockets or takes too long.

    Whatever takes more than `memory` bytes more than before gets a MemoryError.
    """
    _seen.clear()
    _watched[:] = [os.path.realpath(folder)]
    before = resource.getrlimit(resource.RLIMIT_AS)
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + memory, before[1]))
    began = time.process_time()
    try:
        yield
    finally:
        seconds = time.process_time() - began
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, before)
        _watched.clear()
    if _seen:
        raise Breach("; ".join(_seen[:3]))
    if seconds > SECONDS:
        raise Breach(f"took {seconds:.1f} s, and {SECONDS:g} are allowed")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
