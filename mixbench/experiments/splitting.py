"""`mixbench data split`: a file of pairs as one to train on and one to test on, which share no positive."""

import json
from pathlib import Path

from mixbench.data.pairs import Pairs, hold_out, read_pairs
from mixbench.files import write_atomic


def split_pairs(path: Path, folder: Path, test: int, seed: int) -> list[Path]:
    """Write `folder`/train/NAME.jsonl and `folder`/test/NAME.jsonl, and return their paths.

    Whole passages go to the test file until it has at least `test` pairs. Both keep the file's name, by
    which a model that was trained on the one is marked on the other.

    Raises:
        InputError: the file cannot be used, or holds too few pairs or passages.
    """
    parts = dict(zip(("train", "test"), hold_out(read_pairs(path), test, seed), strict=True))
    written = []
    for part, pairs in parts.items():
        written.append(folder / part / f"{pairs.name}.jsonl")
        write_atomic(written[-1], _lines(pairs))
    return written


def _lines(pairs: Pairs) -> str:
    negatives = pairs.negatives or [()] * len(pairs)
    rows = (
        {"query": query, "positive": positive} | ({"negatives": list(texts)} if texts else {})
        for query, positive, texts in zip(pairs.queries, pairs.positives, negatives, strict=True)
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
