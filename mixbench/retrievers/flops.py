"""Floating-point operations of a network, counted by torch as it runs: multiplying and adding are two."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

INT8_PRODUCT = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32


def count_flops(run: Callable[[], object]) -> int:
    """Return the operations of the matrix products and convolutions that `run` does.

    Attention is run by its plain formula meanwhile: torch counts no operations of its fused kernels on a CPU.
    """
    counted = {INT8_PRODUCT: _int8_flops}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return int(counter.get_total_flops())


def _int8_flops(x_shape: torch.Size, *_: Any, out_shape: torch.Size) -> int:
    return 2 * x_shape[-1] * math.prod(out_shape)
