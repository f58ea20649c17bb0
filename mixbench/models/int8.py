"""Linear layers in int8 on a CPU: a quarter of the bytes of their weights, and products that take less time.

Weights are rounded once, with a scale for each output. Each token is scaled by its own largest number, so
that a layer gives it the same whatever else is in the batch, and rounded to 7 bits: the sums of two products
of 8 bits do not fit the 16 that processors without VNNI add them up in. Everything between linear layers
stays in float32.
"""

import warnings

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from mixbench.errors import InputError, MixbenchError

RECIPE = "linear layers in int8, a scale for each output and each token"
ENGINE = "fbgemm"
LEVELS, ZERO = 63, 64
"""A token's numbers become -63 to 63, kept as 1 to 127."""
WEIGHT_LEVELS = 127


class Int8Linear(nn.Module):
    """What `linear` computes, from and to float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight_oi = linear.weight.detach().float()
        scale_o1 = weight_oi.abs().amax(1, keepdim=True).clamp_min(1e-30) / WEIGHT_LEVELS
        self.weight = nn.Parameter((weight_oi / scale_o1).round().to(torch.int8), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float())
        self._packed = _packed(self.weight, scale_o1.flatten())

    def forward(self, x: Tensor) -> Tensor:
        largest = x.abs().amax(-1, keepdim=True).clamp_min(1e-30)
        found: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / largest, 1 / LEVELS, ZERO, self._packed
        )
        return found * largest if self.bias is None else torch.addcmul(self.bias, found, largest)


def _packed(weight_oi: Tensor, scale_o: Tensor) -> torch.ScriptObject:
    """Return int8 weights in the order of memory that the product reads."""
    engine, torch.backends.quantized.engine = torch.backends.quantized.engine, ENGINE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensors of quantised types are to go; the product has no other
            quantised_oi = torch._make_per_channel_quantized_tensor(
                weight_oi, scale_o.double(), torch.zeros(len(scale_o), dtype=torch.long), 0
            )
            packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(quantised_oi, None)
            return packed
    finally:
        torch.backends.quantized.engine = engine


def to_int8(model: SentenceTransformer) -> SentenceTransformer:
    """Put int8 in place of each linear layer of `model`.

    Raises:
        InputError: it is not on the CPU, or has no linear layer.
        MixbenchError: this torch has no product of int8 for this processor.
    """
    if model.device.type != "cpu":
        raise InputError(f"int8 computes on a CPU, not on {model.device}; give --dtype bfloat16 there")
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise MixbenchError("this torch has no int8 for this processor; leave out --dtype int8")
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    if not found:
        raise InputError("int8: the model has no linear layer; leave out --dtype int8")
    for parent, name, child in found:
        setattr(parent, name, Int8Linear(child))
    return model
