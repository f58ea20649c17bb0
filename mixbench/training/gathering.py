"""Shares: each process embeds every n-th text of a column, and has the embeddings of the whole column.

Shapes: N texts in a column, n processes, R of the texts one process's share, d the dimension.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from mixbench.training.processes import count, number


def share(numbers: Sequence[int]) -> Sequence[int]:
    """Return which of a column's texts this process embeds: none where texts are fewer than processes."""
    return numbers[number() :: count()]


def gathered(own_Rd: Tensor, size: int) -> Tensor:
    """Return the embeddings (N, d) of a column of `size` texts, of which this process has embedded its share.

    Every process must take the same loss of them, and average the gradients of its weights with the others.
    Then they are those of one process that embeds the column alone.
    """
    if count() == 1:
        return own_Rd
    whole_Nd: Tensor = _Gather.apply(own_Rd.float(), size)  # type: ignore[no-untyped-call]
    return whole_Nd


class _Gather(torch.autograd.Function):
    """The texts of all shares in the order of the column.

    Each process has the gradient of the whole loss, and takes the part of its own texts. The gradient of the
    weights is the sum over all parts, but of the processes the mean is taken: hence the factor n.
    """

    @staticmethod
    def forward(_: Any, own_Rd: Tensor, size: int) -> Tensor:
        longest = -(-size // count())
        padded = own_Rd.new_zeros(longest, own_Rd.shape[1])
        padded[: len(own_Rd)] = own_Rd
        shares = [torch.empty_like(padded) for _ in range(count())]
        dist.all_gather(shares, padded)
        return torch.stack(shares, dim=1).flatten(0, 1)[:size]

    @staticmethod
    def backward(_: Any, gradient_Nd: Tensor) -> tuple[Tensor, None]:
        return gradient_Nd[number() :: count()] * count(), None


def average_gradients(network: nn.Module) -> None:
    """Put the mean over all processes in place of each weight's gradient."""
    gradients = [value.grad for value in network.parameters() if value.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    means = torch.split(flat / count(), [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def has_idle_weights(model: SentenceTransformer) -> bool:
    """Return whether some weight has no part in an embedding, as BERT's pooler has not."""
    features = batch_to_device(model.preprocess(["a"]), model.device)
    trained = [value for value in model.parameters() if value.requires_grad]
    training = model.training
    embedding = model.eval()(features)["sentence_embedding"]  # without dropout, which would draw
    model.train(training)
    return None in torch.autograd.grad(embedding.sum(), trained, allow_unused=True)
