"""Batches for in-batch negatives: all of one source, and no text in them is a negative of its own match.

In a batch every positive is a negative for the other queries, so two pairs may share one only if they have no
text in common and neither query is paired, anywhere in the source, with the other's positive.

sentence-transformers' own sampler compares whole rows only, and up to 6.0 gave several sources the same
batches in every epoch and fewer of them than it promised to the learning rate schedule; hence this one, which
is exact about both and whose epochs depend on nothing but (seed, epoch).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from sentence_transformers.base.sampler import SetEpochMixin
from torch.utils.data import BatchSampler

from mixbench.data.pairs import Pairs, normalise
from mixbench.errors import InputError


class OneSourceBatches(SetEpochMixin, BatchSampler):
    """Batches of row numbers into the sources laid end to end, a new shuffle each epoch.

    Each source gives floor(pairs / batch size) full batches an epoch, so it is seen in proportion to its
    size; a source smaller than a batch gives one batch of all that may stand together.

    Raises:
        InputError: a source has no two pairs that may share a batch.
    """

    def __init__(self, sources: Sequence[Pairs], batch_size: int, seed: int) -> None:
        super().__init__([], batch_size, True)
        self.seed = seed
        self.sources = [_Source(pairs) for pairs in sources]
        self.counts = [max(1, len(pairs) // batch_size) for pairs in sources]
        for source, pairs in zip(self.sources, sources, strict=True):
            if len(next(source.batches(2, 1, np.random.default_rng(0)))) < 2:
                raise InputError(f"{pairs.name}: no two of its pairs may share a batch; give other pairs")

    def __len__(self) -> int:
        return sum(self.counts)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        batches, first = [], 0
        for source, count in zip(self.sources, self.counts, strict=True):
            for batch in source.batches(self.batch_size, count, rng):
                batches.append([first + row for row in batch])
            first += len(source.texts)
        for position in rng.permutation(len(batches)):
            yield batches[position]


class _Source:
    """One source's pairs as numbers: two texts that agree when normalised have the same number."""

    def __init__(self, pairs: Pairs) -> None:
        numbers: dict[str, int] = {}
        negatives = pairs.negatives or [()] * len(pairs)
        spellings = {
            text: numbers.setdefault(normalise(text), len(numbers))
            for text in dict.fromkeys([*pairs.queries, *pairs.positives, *chain.from_iterable(negatives)])
        }
        keys = [(spellings[q], spellings[p]) for q, p in zip(pairs.queries, pairs.positives, strict=True)]
        matches: dict[int, set[int]] = {}
        for query, positive in keys:
            matches.setdefault(query, {query}).add(positive)
        self.texts = [frozenset(key) for key in keys]
        self.matches = [matches[query] for query, _ in keys]
        self.negatives = [tuple(spellings[text] for text in texts) for texts in negatives]

    def batches(self, size: int, count: int, rng: np.random.Generator) -> Iterator[list[int]]:
        """Yield `count` batches of `size` rows: each row once, then again where conflicts leave gaps."""
        waiting: list[int] = []
        for _ in range(count):
            batch, waiting = self._fill([], waiting, size)
            if len(batch) < size:
                batch, waiting = self._fill(batch, waiting + rng.permutation(len(self.texts)).tolist(), size)
            yield batch

    def _fill(self, batch: list[int], waiting: list[int], size: int) -> tuple[list[int], list[int]]:
        """Move rows of `waiting` in order to `batch` until it is full; rows in conflict keep their place."""
        held = {text for row in batch for text in self.texts[row]}
        matched = {text for row in batch for text in self.matches[row]}
        batch, passed_over, position = list(batch), [], 0
        while position < len(waiting) and len(batch) < size:
            row = waiting[position]
            position += 1
            if matched.isdisjoint(self.texts[row]) and held.isdisjoint(self.matches[row]):
                batch.append(row)
                held |= self.texts[row]
                matched |= self.matches[row]
            else:
                passed_over.append(row)
        return batch, passed_over + waiting[position:]
