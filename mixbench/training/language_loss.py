"""The loss of predicting tokens, the next or a text's own, without logits of a whole batch in memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

ROWS = 4096
"""Tokens whose logits are held at once: 256 MiB in float32 for 16,384 of vocabulary."""

States = Callable[[Tensor], Tensor]
Summed = Callable[[Tensor, Tensor], Tensor]


class HeadLoss(nn.Module):
    """The summed cross-entropy, in nats, of targets (N) by the logits that `head` makes of states (N, d).

    One module, so that compiled it reads the logits as the head makes them: apart, their copies in float32
    took an eighth of a training step (width 1024, depth 16, context 512 on an H100).
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, states_Nd: Tensor, targets_N: Tensor) -> Tensor:
        return cross_entropy(self.head(states_Nd).float(), targets_N, reduction="sum")


def token_loss(states: States, summed: Summed, ids_BW: Tensor, ahead: int = 1, rows: int = ROWS) -> Tensor:
    """Return the mean cross-entropy, in nats, of what stands `ahead` places after each of the first T ids.

    `ids_BW` (B, T + 1) are windows: with 1 the next token is predicted, with 0 each itself.

    `states` goes from ids (B, T) to (B, T, d), `summed` is a `HeadLoss`. The logits of `rows` tokens are held
    at once, and worked out again for the gradient.
    """
    targets_N = ids_BW[:, ahead : ids_BW.shape[1] - 1 + ahead].flatten()
    states_Nd = states(ids_BW[:, :-1]).flatten(0, 1)
    total = states_Nd.new_zeros((), dtype=torch.float32)
    for first in range(0, len(targets_N), rows):
        part = slice(first, first + rows)
        # The head draws no random numbers, so none need be kept for the second time.
        total = total + checkpoint(
            summed, states_Nd[part], targets_N[part], use_reentrant=False, preserve_rng_state=False
        )
    return total / len(targets_N)
