"""How a model holds its weights in memory: in another floating-point type, or in 4 bits."""

from importlib.util import find_spec
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from mixbench.errors import CheckpointError, MixbenchError, UnknownName

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FOUR_BIT = "nf4, double quantised, computed in "
"""The 4-bit format of the masked mixer paper's e5-mistral-7b-instruct; its computations were float16."""


def cast_weights(model: SentenceTransformer, dtype: str | None) -> SentenceTransformer:
    """Turn the parameters of `model` into `dtype`; None leaves them. Raises UnknownName for another type.

    Buffers stay: transformers keeps the frequencies of rotary positions in float32, whatever the weights are.
    """
    if dtype is not None:
        wanted = checked_dtype(dtype)
        for parameter in model.parameters():
            parameter.data = parameter.data.to(wanted)
    return model


def checked_dtype(dtype: str) -> torch.dtype:
    """Return the type called `dtype`; raise UnknownName for one that is not among `DTYPES`."""
    if dtype not in DTYPES:
        raise UnknownName.of("data type of weights", dtype, DTYPES)
    return DTYPES[dtype]


def four_bit_arguments(dtype: str | None, device: str) -> dict[str, Any]:
    """Return what transformers is told to load 4-bit weights onto `device`, computing in `dtype`.

    None computes in float16. Raises MixbenchError where bitsandbytes is not installed.
    """
    computed = checked_dtype(dtype or "float16")
    if find_spec("bitsandbytes") is None:
        raise MixbenchError("4-bit weights need a package: pip install 'mixbench[4bit]'")
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed,
    )
    return {"quantization_config": settings, "device_map": {"": device}, "dtype": computed}


def four_bit_recipe(dtype: str | None) -> str:
    """Return what a recipe says of weights loaded with `four_bit_arguments`."""
    return FOUR_BIT + (dtype or "float16")


def check_four_bit(model: SentenceTransformer, name: str) -> None:
    """Raise CheckpointError where no part of `model` holds 4-bit weights."""
    if not any(getattr(module, "is_loaded_in_4bit", False) for module in model.modules()):
        raise CheckpointError(f"{name}: holds no transformer whose weights can be held in 4 bits")
