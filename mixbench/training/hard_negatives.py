"""Hard negatives in a batch: drawn from those of its rows, and never an answer to one of its queries.

A batch compares each query with the positives and with all that is drawn for any of its rows. So a text that
is a match of one query is dropped for all, as is one that was drawn before: the loss needs no mask.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from mixbench.data.pairs import Pairs, PairSource, normalise
from mixbench.errors import InputError
from mixbench.training.batches import OneSourceBatches

HELD_OUT = "negative held out for dev"
"""What a record calls the negatives that `without_dev_passages` dropped."""


def without_dev_passages(sources: Sequence[PairSource], dev: Sequence[Pairs]) -> list[PairSource]:
    """Return the sources without each negative that is a positive of `dev`, and count those as excluded.

    Texts are compared as `normalise` gives them. A passage that a model is scored on is never trained on.
    """
    held = {normalise(positive) for pairs in dev for positive in pairs.positives}
    cleaned = []
    for source in sources:
        pairs = source.pairs
        if pairs.negatives is not None:
            kept = [tuple(text for text in texts if normalise(text) not in held) for texts in pairs.negatives]
            count = sum(map(len, pairs.negatives)) - sum(map(len, kept))
            source = replace(
                source,
                pairs=replace(pairs, negatives=kept),
                read_sha256=source.read_sha256 or pairs.sha256,
                excluded={**source.excluded, HELD_OUT: count},
            )
        cleaned.append(source)
    return cleaned


class HardNegatives:
    """The hard negatives of the rows of `batches`, `count` of which are drawn for each row.

    `texts` are the distinct ones, source by source, in the first of their spellings; they are numbered on
    from the rows. A row never draws a match of its own query.

    Raises:
        InputError: no row has any.
    """

    def __init__(self, sources: Sequence[Pairs], batches: OneSourceBatches, count: int) -> None:
        self.batches, self.count = batches, count
        self.texts: list[str] = []
        self._keys: list[int] = []
        self._of_row: list[list[int]] = []
        self._matches: list[set[int]] = []
        for pairs, source in zip(sources, batches.sources, strict=True):
            places: dict[int, int] = {}
            self._matches += source.matches
            for texts, keys, matches in zip(
                pairs.negatives or [()] * len(pairs), source.negatives, source.matches, strict=True
            ):
                own = {key: text for key, text in zip(keys, texts, strict=True) if key not in matches}
                for key, text in own.items():
                    if key not in places:
                        places[key] = len(self.texts)
                        self.texts.append(text)
                        self._keys.append(key)
                self._of_row.append([places[key] for key in own])
        if not any(self._of_row):
            raise InputError(
                "hard negatives: no pair has any; mine some with 'mixbench mine', or leave them out"
            )

    def draw(self, rows: list[int]) -> list[int]:
        """Return the numbers of the negatives of the batch `rows`, distinct, and no query's match.

        They follow from the seed, the epoch and the rows alone, so that a resumed run draws the same.
        """
        matched = set[int]().union(*(self._matches[row] for row in rows))
        drawn = dict.fromkeys(place for row in rows for place in self._of(row))
        return [len(self._of_row) + place for place in drawn if self._keys[place] not in matched]

    def _of(self, row: int) -> list[int]:
        own = self._of_row[row]
        if len(own) <= self.count:
            return own
        draw = random.Random(f"{self.batches.seed} {self.batches.epoch} {row}")
        return draw.sample(own, self.count)
