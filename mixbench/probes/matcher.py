"""Set matchers: networks that find the match of a query in a set of frozen embeddings.

A set is a matrix (m, d) of embeddings: row 0 is the query's, rows 1 to m - 1 are candidates'. A matcher gives
each candidate a number, the match the highest. The paper's (arXiv 2409.01482; fineweb_retrieval.py of its
code) is a mixer without a mask over the m rows, so that a candidate's number depends on the row it stands in.
`EquivariantBlock` has the same network without that: its matrix is tied so that candidates can change places.

Shapes: B sets, m rows, C = m - 1 candidates, d the width of rows.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from mixbench.errors import InputError

Block = Callable[[int, int], nn.Module]
"""Makes a block of the network from its width d and rows m: a module from (B, m, d) to (B, m, d)."""


class SetMatcher(Protocol):
    """Tells the match from other candidates."""

    def __call__(self, sets_Bmd: Tensor) -> Tensor:
        """Return a number for each candidate (B, C), the logits of a softmax over them."""
        ...


class BlockMatcher(nn.Module):
    """Blocks over the rows of a set, then a linear map of each row to one number; a `SetMatcher`.

    Args:
        block: makes each block.
        width: d, that of the embeddings.
        rows: m, fixed where the block's is.
        depth: how many blocks; the paper has 8.
        seed: of the weights.

    Raises:
        InputError: fewer than two candidates, or no block.
    """

    def __init__(self, block: Block, *, width: int, rows: int, depth: int = 8, seed: int = 0) -> None:
        super().__init__()
        check_rows(rows)
        if depth < 1:
            raise InputError(f"a matcher of {depth} blocks; give at least 1")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.blocks = nn.Sequential(*(block(width, rows) for _ in range(depth)))
            self.to_number = nn.Linear(width, 1)

    def forward(self, sets_Bmd: Tensor) -> Tensor:
        numbers_BC: Tensor = self.to_number(self.blocks(sets_Bmd))[:, 1:, 0]
        return numbers_BC


class EquivariantBlock(nn.Module):
    """A mixer's block whose matrix treats all candidates alike; runs on sets of any size.

    A mixer's matrix has m x m weights. Of those that commute with each permutation of the candidates five
    remain: what a candidate takes of itself, of the mean of the candidates and of the query, and what the
    query takes of itself and of that mean (Deep Sets, Zaheer et al. 2017, lemma 3, with the query as a row of
    its own). Each of the two kinds of row has one bias. Channel mixing is the mixer's.
    """

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.empty(5).uniform_(-1, 1))
        self.bias = nn.Parameter(torch.empty(2).uniform_(-(rows**-0.5), rows**-0.5))
        self.channel_norm = nn.LayerNorm(width)
        self.channel_mixing = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_Bmd: Tensor) -> Tensor:
        normal_Bmd = self.token_norm(x_Bmd)
        query_B1d, candidates_BCd = normal_Bmd[:, :1], normal_Bmd[:, 1:]
        mean_B1d = candidates_BCd.mean(dim=1, keepdim=True)
        own, of_mean, of_query, query_own, query_of_mean = self.weight
        query_B1d, candidates_BCd = (
            query_own * query_B1d + query_of_mean * mean_B1d + self.bias[0],
            own * candidates_BCd + of_mean * mean_B1d + of_query * query_B1d + self.bias[1],
        )
        x_Bmd = x_Bmd + torch.cat([query_B1d, candidates_BCd], dim=1)
        mixed_Bmd: Tensor = x_Bmd + self.channel_mixing(self.channel_norm(x_Bmd))
        return mixed_Bmd


class CosineMatcher:
    """The cosine of query and candidate, without training; a `SetMatcher`.

    `temperature` divides it: the cross-entropy depends on it, what is best does not. The paper's InfoNCE
    has 0.02.
    """

    def __init__(self, temperature: float = 0.02) -> None:
        if not temperature > 0:
            raise InputError(f"temperature {temperature!r}; give a number above 0")
        self.temperature = temperature

    def __call__(self, sets_Bmd: Tensor) -> Tensor:
        rows_Bmd = nn.functional.normalize(sets_Bmd, dim=-1)
        cosines_BC = (rows_Bmd[:, 1:] @ rows_Bmd[:, 0, :, None])[..., 0]
        return cosines_BC / self.temperature


class DistanceMatcher:
    """Minus the distance of query and candidate, without training; a `SetMatcher`.

    `order` 1 is the sum of absolute differences (L1), 2 the Euclidean distance (L2).
    """

    def __init__(self, order: int) -> None:
        if order not in (1, 2):
            raise InputError(f"distance of order {order!r}; give 1 or 2")
        self.order = order

    def __call__(self, sets_Bmd: Tensor) -> Tensor:
        distances_BC: Tensor = (sets_Bmd[:, 1:] - sets_Bmd[:, :1]).norm(p=self.order, dim=-1)
        return -distances_BC


def check_rows(rows: int, documents: int | None = None) -> None:
    """Raise InputError unless a set of `rows` has two candidates or more, and at most the `documents`."""
    if rows < 3:
        raise InputError(f"a set of {rows} rows is the query and {rows - 1} candidates; give at least 3 rows")
    if documents is not None and rows > documents + 1:
        raise InputError(
            f"a set of {rows} rows wants {rows - 1} candidates of {documents} documents;"
            f" give at most {documents + 1} rows"
        )
