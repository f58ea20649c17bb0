"""How much of a GPU one of several models that are trained there in turn has taken at most."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class DeviceMemory:
    """The most bytes on `device` of what is made and worked with under `counted`, others' left out.

    Attributes:
        most: None on a CPU, and before any was counted.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.most: int | None = None
        self._own = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is allocated meanwhile, and what stays allocated to the next time."""
        if self.device.type != "cuda":
            yield
            return
        others = self._allocated() - self._own
        torch.cuda.reset_peak_memory_stats(self.device)
        yield
        self.most = max(self.most or 0, torch.cuda.max_memory_allocated(self.device) - others)
        self._own = self._allocated() - others

    def _allocated(self) -> int:
        gc.collect()  # what a finished run leaves in cycles is nobody's
        return torch.cuda.memory_allocated(self.device)
