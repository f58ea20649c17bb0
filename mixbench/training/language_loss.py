"""The loss of predicting tokens, the next or a text's own, without logits of a whole batch in memory."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

ROWS = 4096
"""Tokens whose logits are held at once: 256 MiB in float32 for 16,384 of vocabulary."""

States = Callable[[Tensor], Tensor]
Chunk = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Head(Protocol):
    """What makes logits (..., V) of states (..., d): a norm, then products with the embedding (V, d)."""

    norm: nn.LayerNorm
    embedding: nn.Embedding

    def __call__(self, states: Tensor, /) -> Tensor: ...


class HeadLoss(nn.Module):
    """The summed cross-entropy, in nats, of targets (N) by the logits that `head` makes of states (N, d).

    The logits of `rows` tokens are held at once, and their gradients made from them there and then. With
    logits that are made again for the gradients a step of four blocks took a sixth longer, and with copies
    of them in float32 one of sixteen an eighth (compiled, width 1024, context 512, H100).
    """

    def __init__(self, head: Head, *, rows: int = ROWS, compiled: bool = False) -> None:
        super().__init__()
        self.head, self.rows = head, rows
        self._norm: Callable[[Tensor], Tensor] = head.norm
        self._chunk: Chunk = _loss_and_gradient
        if compiled:
            self._norm = torch.compile(head.norm, dynamic=False)
            self._chunk = torch.compile(_loss_and_gradient, dynamic=False)

    def forward(self, states_Nd: Tensor, targets_N: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            parts = zip(torch.split(states_Nd, self.rows), torch.split(targets_N, self.rows), strict=True)
            losses = [cross_entropy(self.head(part).float(), ids, reduction="sum") for part, ids in parts]
            return torch.stack(losses).sum()
        normed_Nd = self._norm(states_Nd)
        device = normed_Nd.device.type
        if torch.is_autocast_enabled(device):
            normed_Nd = normed_Nd.to(torch.get_autocast_dtype(device))
        read = (normed_Nd, self.head.embedding.weight, targets_N)
        summed: Tensor = _SummedLoss.apply(*read, self._chunk, self.rows)  # type: ignore[no-untyped-call]
        return summed


class _SummedLoss(torch.autograd.Function):
    """The summed cross-entropy of targets (N) by the products of x (N, d) with the weights (V, d)."""

    @staticmethod
    def forward(
        ctx: Any, x_Nd: Tensor, weight_Vd: Tensor, targets_N: Tensor, chunk: Chunk, rows: int
    ) -> Tensor:
        multiplied_Vd = weight_Vd.to(x_Nd.dtype)
        of_x_Nd, of_weight_Vd = torch.empty_like(x_Nd), torch.zeros_like(weight_Vd)
        total = torch.zeros((), dtype=torch.float32, device=x_Nd.device)
        for first in range(0, len(targets_N), rows):
            part = slice(first, first + rows)
            loss, of_logits_nV = chunk(x_Nd[part], multiplied_Vd, targets_N[part])
            total += loss
            of_x_Nd[part] = of_logits_nV @ multiplied_Vd
            of_weight_Vd += of_logits_nV.mT @ x_Nd[part]
        ctx.save_for_backward(of_x_Nd, of_weight_Vd)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        of_x_Nd, of_weight_Vd = ctx.saved_tensors
        return of_x_Nd * gradients[0], of_weight_Vd * gradients[0], None, None, None


def _loss_and_gradient(x_nd: Tensor, weight_Vd: Tensor, targets_n: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss, in float32, and its gradient by the logits (n, V), in the type of `x_nd`."""
    logits_nV = (x_nd @ weight_Vd.mT).float()
    norms_n1 = logits_nV.logsumexp(1, keepdim=True)
    loss = (norms_n1 - logits_nV.gather(1, targets_n[:, None])).sum()
    wanted_nV = torch.arange(len(weight_Vd), device=targets_n.device) == targets_n[:, None]
    gradient_nV = (logits_nV - norms_n1).exp() - wanted_nV.float()
    return loss, gradient_nV.to(x_nd.dtype)


def token_loss(states: States, summed: HeadLoss, ids_BW: Tensor, ahead: int = 1) -> Tensor:
    """Return the mean cross-entropy, in nats, of what stands `ahead` places after each of the first T ids.

    `ids_BW` (B, T + 1) are windows: with 1 the next token is predicted, with 0 each itself. `states` goes
    from ids (B, T) to (B, T, d).
    """
    targets_N = ids_BW[:, ahead : ids_BW.shape[1] - 1 + ahead].flatten()
    total: Tensor = summed(states(ids_BW[:, :-1]).flatten(0, 1), targets_N)
    return total / len(targets_N)
