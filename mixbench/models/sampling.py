"""Choosing the next token from logits: greedy, or drawn at a temperature from the best of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixbench.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn.

    `temperature` divides the logits, and 0 takes the best one. `top_k` keeps the best k (0: all), then
    `top_p` keeps the fewest whose probabilities reach p.

    Raises:
        InputError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature must be at least 0, not {self.temperature!r}")
        if self.top_k < 0:
            raise InputError(f"top_k must be at least 0, which keeps all tokens; not {self.top_k!r}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must lie above 0 and be at most 1, not {self.top_p!r}")


def choose(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Return the id of the next token; `generator` is one of the CPU, and is not asked where greedy."""
    logits_V = logits_V.detach().float().cpu()
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    probabilities_V = kept(logits_V / sampling.temperature, sampling).softmax(0)
    return int(torch.multinomial(probabilities_V, 1, generator=generator))


def kept(logits_V: Tensor, sampling: Sampling) -> Tensor:
    """Return the logits with those that `top_k` and `top_p` leave out at minus infinity."""
    sorted_V, order_V = logits_V.sort(descending=True, stable=True)
    if sampling.top_k:
        sorted_V[sampling.top_k :] = -torch.inf
    probabilities_V = sorted_V.softmax(0)
    before_V = probabilities_V.cumsum(0) - probabilities_V
    out_V = before_V >= sampling.top_p
    out_V[0] = False
    return torch.empty_like(logits_V).scatter_(0, order_V, sorted_V.masked_fill(out_V, -torch.inf))
