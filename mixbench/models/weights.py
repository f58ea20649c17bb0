"""How a model holds its weights in memory: in another floating-point type, in int8 or in 4 bits."""

from importlib.util import find_spec
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from mixbench.errors import CheckpointError, InputError, MixbenchError, UnknownName
from mixbench.models.int8 import RECIPE as INT8_RECIPE
from mixbench.models.int8 import to_int8

INT8 = "int8"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FOUR_BIT = "nf4, double quantised, computed in "
"""The 4-bit format of the masked mixer paper's e5-mistral-7b-instruct; its computations were float16."""


def cast_weights(model: SentenceTransformer, dtype: str | None) -> SentenceTransformer:
    """Turn the parameters of `model` into `dtype`, its linear layers for "int8"; None leaves them.

    Buffers stay: transformers keeps the frequencies of rotary positions in float32, whatever the weights are.

    Raises:
        UnknownName: there is no such type.
        InputError: int8 where the model is not on the CPU, or has no linear layer.
        MixbenchError: int8 on a processor that torch has none for.
    """
    if dtype == INT8:
        return to_int8(model)
    if dtype is not None:
        check_dtype(dtype)
        for parameter in model.parameters():
            parameter.data = parameter.data.to(DTYPES[dtype])
    return model


def check_dtype(dtype: str) -> None:
    """Raise UnknownName where `dtype` is not one that weights can be held in."""
    if dtype != INT8 and dtype not in DTYPES:
        raise UnknownName.of("data type of weights", dtype, [*DTYPES, INT8])


def four_bit_arguments(dtype: str | None, device: str) -> dict[str, Any]:
    """Return what transformers is told to load 4-bit weights onto `device`, computing in `dtype`.

    None computes in float16.

    Raises:
        UnknownName: there is no such type.
        InputError: it is int8, in which 4-bit weights do not compute.
        MixbenchError: bitsandbytes is not installed.
    """
    check_dtype(dtype or "float16")
    if dtype == INT8:
        raise InputError("4-bit weights do not compute in int8; leave out --dtype or --load-in-4bit")
    if find_spec("bitsandbytes") is None:
        raise MixbenchError("4-bit weights need a package: pip install 'mixbench[4bit]'")
    from transformers import BitsAndBytesConfig

    computed = DTYPES[dtype or "float16"]
    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed,
    )
    return {"quantization_config": settings, "device_map": {"": device}, "dtype": computed}


def weights_recipe(dtype: str | None, *, four_bit: bool) -> str | None:
    """Return what a recipe says of weights that are no floating-point numbers, None of those that are."""
    if four_bit:
        return FOUR_BIT + (dtype or "float16")
    return INT8_RECIPE if dtype == INT8 else None


def check_four_bit(model: SentenceTransformer, name: str) -> None:
    """Raise CheckpointError where no part of `model` holds 4-bit weights."""
    if not any(getattr(module, "is_loaded_in_4bit", False) for module in model.modules()):
        raise CheckpointError(f"{name}: holds no transformer whose weights can be held in 4 bits")
