"""Weights on disk at a quarter of their size: int8 rows with a scale each, the rest in half precision."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from mixbench.files import write_atomic

SCALE = ".row_scale"


def shrink(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with each matrix (..., columns) as int8 and a float16 scale a row, vectors as float16.

    Rounding to the nearest of 255 levels a row: an error of at most half a 127th of the row's largest weight.
    """
    small: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim < 2:
            small[name] = value.half().contiguous()
            continue
        scale = (value.abs().amax(-1).clamp(min=1e-6) / 127).half()
        small[name] = (value / scale[..., None].float()).round().clamp(-127, 127).to(torch.int8)
        small[name + SCALE] = scale
    return small


def expand(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the float32 weights of a state, shrunk or not."""
    full: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(SCALE):
            continue
        scale = state.get(name + SCALE)
        full[name] = value.float() if scale is None else value.float() * scale[..., None].float()
    return full


def shrink_folder(folder: Path) -> None:
    """Replace the weights of a mixer's folder by shrunk ones, which load as the rounded float32 weights."""
    path = folder / "model.safetensors"
    write_atomic(path, save(shrink(load_file(path))))
