"""Floating-point operations of a network, counted by torch as it runs: multiplying and adding are two."""

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(run: Callable[[], object]) -> int:
    """Return the operations of the matrix products and convolutions that `run` does.

    Attention is run by its plain formula meanwhile: torch counts no operations of its fused kernels on a CPU.
    """
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return int(counter.get_total_flops())
