"""Pairs of frozen embeddings, and the sets that are drawn from them, on their device.

Shapes: P pairs, D documents, B sets, m rows, C = m - 1 candidates, d the dimension.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mixbench.probes.ranks import check_positives
from mixbench.probes.scorers import check_embeddings


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedPairs:
    """Embeddings of queries and of documents, of which each query has one as its match.

    Raises:
        InputError: the shapes do not fit, there is one document alone, or a query has no positive among them.
        MixbenchError: an embedding holds NaN or infinity.
    """

    queries: Tensor
    """(P, d)"""
    documents: Tensor
    """(D, d), each document once, also those that no query looks for"""
    positives: Tensor
    """(P,) position of the match among the documents"""

    def __post_init__(self) -> None:
        check_embeddings(self.queries, self.documents)
        check_positives(self.positives, len(self.queries), len(self.documents))

    def to(self, device: str | torch.device) -> "EmbeddedPairs":
        """Return the same pairs on `device`, as float32."""
        return EmbeddedPairs(
            queries=self.queries.float().to(device),
            documents=self.documents.float().to(device),
            positives=self.positives.to(device),
        )

    def sets(self, chosen_B: Tensor, candidates_BC: Tensor) -> Tensor:
        """Return the sets (B, m, d) of the queries and documents at these positions."""
        return torch.cat([self.queries[chosen_B, None], self.documents[candidates_BC]], dim=1)


def draw_candidates(
    positives_B: Tensor, documents: int, candidates: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw sets: return the positions (B, C) of their documents, and which column (B,) is the match.

    The match stands at a random column, the others are any C - 1 other documents, each choice as likely.
    A set is a stretch of one random order of the documents, from a random start; unless the match lies
    there, it takes the place of a random one. That costs no sorting of all documents for each set.
    """
    device = positives_B.device
    count = len(positives_B)
    order_D = torch.randperm(documents, generator=generator, device=device)
    starts_B1 = torch.randint(documents, (count, 1), generator=generator, device=device)
    slots_B = torch.randint(candidates, (count,), generator=generator, device=device)
    drawn_BC = order_D[(starts_B1 + torch.arange(candidates, device=device)) % documents]
    is_match_BC = drawn_BC == positives_B[:, None]
    match_B = torch.where(is_match_BC.any(dim=1), is_match_BC.int().argmax(dim=1), slots_B)
    return drawn_BC.scatter(1, match_B[:, None], positives_B[:, None]), match_B


def drawn_batches(
    pairs: EmbeddedPairs, rows: int, batch_size: int, generator: torch.Generator, *, shuffle: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield sets (B, m, d) and the columns (B,) of their matches: one set for each query.

    `generator` is of the device of `pairs`. Queries come in their order unless `shuffle` is true.
    """
    device, count = pairs.queries.device, len(pairs.queries)
    if shuffle:
        order = torch.randperm(count, generator=generator, device=device)
    else:
        order = torch.arange(count, device=device)
    for chosen_B in torch.split(order, batch_size):
        positives_B = pairs.positives[chosen_B]
        candidates_BC, match_B = draw_candidates(positives_B, len(pairs.documents), rows - 1, generator)
        yield pairs.sets(chosen_B, candidates_BC), match_B
