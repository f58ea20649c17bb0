"""What a probe's own network reads, and in which numbers it learns."""

from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mixbench.errors import UnknownName

Precision = Literal["fp32", "bf16"]
"""Of matrix products while a network learns; its weights are float32."""


def check_precision(precision: str) -> None:
    """Raise UnknownName where there is no such precision."""
    if precision not in get_args(Precision):
        raise UnknownName.of("precision", precision, get_args(Precision))


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass on `device` has that precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def shift_and_scale(embeddings_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each dimension is to be lessened by and then multiplied with, for mean 0 and deviation 1.

    One that only float32's rounding changes is multiplied with 0: it varies by a millionth of its mean or of
    the dimension that varies most.
    """
    deviation_D, mean_D = torch.std_mean(embeddings_ND, dim=0, correction=0)
    constant_D = deviation_D <= 1e-6 * torch.maximum(mean_D.abs(), deviation_D.max())
    return mean_D, (1 / deviation_D).masked_fill(constant_D, 0)
