"""Windows of a long row of tokens, in an order that needs no state: a step's windows follow from its number.

Each pass cuts the row, joined end to start, into windows from a place of its own and shuffles them. So all
of a pass but the rest that fills no window is read once.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Windows:
    """Windows of `context` + 1 ids from ids (N,), which lie on `device` as they are stored.

    Attributes:
        count: windows of a pass.
    """

    def __init__(self, ids_N: np.ndarray[Any, Any], context: int, seed: int, device: torch.device) -> None:
        # torch indexes no unsigned types on every device: the same bits as signed ones, put right after.
        self.mask = 0xFFFF if ids_N.itemsize == 2 else 0xFFFFFFFF
        self.ids_N = torch.from_numpy(ids_N.view(np.int16 if ids_N.itemsize == 2 else np.int32)).to(device)
        self.seed, self.context, self.device = seed, context, device
        self.count = len(ids_N) // context
        self.window_W = torch.arange(context + 1, device=device)
        self.passes: dict[int, Tensor] = {}

    def batch(self, step: int, size: int) -> Tensor:
        """Return the ids (size, context + 1) of optimiser step `step`, from 0."""
        position, wanted = step * size, size
        parts = []
        while wanted:
            number, first = divmod(position, self.count)
            part = self._starts(number)[first : first + wanted]
            parts.append(part)
            position += len(part)
            wanted -= len(part)
        return self._cut(torch.cat(parts))

    def evenly(self, most: int) -> Tensor:
        """Return at most `most` windows that do not overlap, spread over the row: (windows, context + 1)."""
        whole = (len(self.ids_N) - 1) // self.context
        chosen = sorted({number * whole // min(most, whole) for number in range(min(most, whole))})
        return self._cut(torch.tensor(chosen, device=self.device) * self.context)

    def _starts(self, number: int) -> Tensor:
        if number not in self.passes:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            first = int(torch.randint(len(self.ids_N), (1,), generator=generator))
            order = torch.randperm(self.count, generator=generator).to(self.device)
            self.passes = {number: order * self.context + first}  # one pass at a time: it can be large
        return self.passes[number]

    def _cut(self, starts_B: Tensor) -> Tensor:
        places_BW = (starts_B[:, None] + self.window_W) % len(self.ids_N)
        return self.ids_N[places_BW].long() & self.mask
