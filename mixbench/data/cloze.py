"""Pairs out of plain text: a sentence asks for the passage that it was taken from (the inverse cloze task).

Source of the task: https://arxiv.org/abs/1906.00300, section 4.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

from mixbench.data.pairs import Pairs
from mixbench.data.texts import read_pieces, text_source
from mixbench.errors import InputError

LEAST_WORDS, AIM, MOST_WORDS = 60, 120, 200
"""A passage is whole sentences: it ends at the first that brings it to AIM words, and has no more than
MOST_WORDS. What is left of a document with fewer than LEAST_WORDS is dropped."""
QUERY_WORDS = 4
"""A sentence of fewer words asks for nothing in particular."""
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+")


def cloze_pairs(path: Path, seed: int, most: int = 50_000) -> Pairs:
    """Read a text file and return at most `most` pairs of a sentence and the rest of its passage.

    The file is one that a language model could be trained on, see `data/texts.py`. No passage crosses the
    end of a document, nor that of a piece of it. Of more passages than `most` a sample is taken, in the order
    of the file. The name is the file's, without its suffixes. The same file, `seed` and `most` give the same
    pairs.

    Raises:
        InputError: the file cannot be read, a line of jsonl has no text, or there are no two passages.
    """
    source = text_source(str(path))
    documents = (piece.text for piece in read_pieces(source))
    rng = random.Random(seed)
    kept: list[tuple[int, str, str]] = []
    number = 0
    for sentences in (passage for text in documents for passage in passages(text)):
        askable = [place for place, each in enumerate(sentences) if len(each.split()) >= QUERY_WORDS]
        if not askable:
            continue
        place = rng.choice(askable)
        pair = (number, sentences[place], " ".join(sentences[:place] + sentences[place + 1 :]))
        if len(kept) < most:
            kept.append(pair)
        elif (seat := rng.randrange(number + 1)) < most:
            kept[seat] = pair
        number += 1
    if len(kept) < 2:
        raise InputError.at(
            path, None, f"holds {len(kept)} passages of {LEAST_WORDS} to {MOST_WORDS} words; give more text"
        )
    kept.sort()
    return Pairs(source.name, [query for _, query, _ in kept], [rest for _, _, rest in kept])


def passages(text: str) -> Iterator[list[str]]:
    """Yield passages of `text` as lists of at least two sentences; white space becomes single spaces."""
    passage: list[str] = []
    words = 0
    for sentence in SENTENCE_END.split(" ".join(text.split())):
        length = len(sentence.split())
        if words + length > MOST_WORDS:
            if words >= LEAST_WORDS and len(passage) > 1:
                yield passage
            passage, words = [], 0
        if not 0 < length <= MOST_WORDS:
            continue
        passage.append(sentence)
        words += length
        if words >= AIM and len(passage) > 1:
            yield passage
            passage, words = [], 0
    if words >= LEAST_WORDS and len(passage) > 1:
        yield passage
