"""The pace of a device's own matrix product and copy: what a bench's operations a second are held against.

It is the product of two square matrices by torch.matmul, a multiply-add counted as two operations, at the
precision that torch is set to. A device's data sheet says more than any program reaches.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SMALLEST, LARGEST = 256, 16_384
BLOCKS = 5
COPIED = 2**28
TELLING = 0.02
"""Share of the whole time that one product must take to be large enough."""


@dataclass(frozen=True, kw_only=True)
class MatmulPeak:
    """The best pace of a product of two `size` x `size` matrices of `dtype`."""

    flops_per_second: float
    size: int
    dtype: str
    seconds: float
    """What the timing took in all."""


def matmul_peak(
    device: str | torch.device, dtype: torch.dtype, *, seconds: float = 1.0, seed: int = 0
) -> MatmulPeak:
    """Return the pace of the fastest of five blocks of products, which take about `seconds` in all.

    The size is doubled until one product takes a fiftieth of `seconds`, or to 16,384 rows. Values are
    uniform in -1 to 1. Of the three largest matrices together, bfloat16 takes 1.6 GB.
    """
    device = torch.device(device)
    generator = torch.Generator(device).manual_seed(seed)
    size = SMALLEST
    while True:
        multiply = _product(size, device, dtype, generator)
        _timed(multiply, 1, device)
        once = _timed(multiply, 1, device)
        if once >= TELLING * seconds or size >= LARGEST:
            break
        size *= 2
    repeats = max(1, round(seconds / BLOCKS / once))
    times = [_timed(multiply, repeats, device) for _ in range(BLOCKS)]
    return MatmulPeak(
        flops_per_second=2 * size**3 * repeats / min(times),
        size=size,
        dtype=str(dtype).removeprefix("torch."),
        seconds=round(sum(times), 3),
    )


def copy_bandwidth(device: str | torch.device, *, seconds: float = 0.5) -> float:
    """Return the bytes a second, read and written together, of a copy between two large tensors.

    They have 256 MiB each, more than caches hold, on `device`; the fastest of five blocks counts, which take
    about `seconds` in all.
    """
    device = torch.device(device)
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> object:
        return target.copy_(source)

    _timed(copy, 1, device)
    repeats = max(1, round(seconds / BLOCKS / _timed(copy, 1, device)))
    return 2 * COPIED * repeats / min(_timed(copy, repeats, device) for _ in range(BLOCKS))


def synchronise(device: torch.device) -> None:
    """Wait until `device` has done what it was given; a CPU already has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _product(
    size: int, device: torch.device, dtype: torch.dtype, generator: torch.Generator
) -> Callable[[], object]:
    left, right = (
        torch.empty(size, size, device=device, dtype=dtype).uniform_(-1, 1, generator=generator)
        for _ in range(2)
    )
    result = torch.empty(size, size, device=device, dtype=dtype)
    return lambda: torch.matmul(left, right, out=result)


def _timed(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise(device)
    return time.perf_counter() - start
