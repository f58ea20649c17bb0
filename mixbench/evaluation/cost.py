"""What a step takes: seconds on the wall clock, and the most memory that the process held meanwhile."""

import resource
import sys
import time
from pathlib import Path
from types import TracebackType


class Stopwatch:
    """Times `with` blocks and adds them up in `seconds`; waits for the accelerator's work to end."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> "Stopwatch":
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _cuda_in_use():
            sys.modules["torch"].cuda.synchronize()
        self.seconds += time.perf_counter() - self._start


def forget_peaks() -> None:
    """Start measuring peak memory anew, where the system can; elsewhere the peak is that since the start."""
    if _cuda_in_use():
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """Return the most main memory that this process has held since `forget_peaks`.

    Linux counts a process's maximum from its parent on, but keeps one of its own in its status.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes() -> int | None:
    """Return the most accelerator memory that tensors have held since `forget_peaks`; None without one."""
    return int(sys.modules["torch"].cuda.max_memory_allocated()) if _cuda_in_use() else None


def _cuda_in_use() -> bool:
    """Tell whether torch has work on a GPU; torch is never imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
