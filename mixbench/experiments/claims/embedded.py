"""The embedded task as the files that runs of claims read, so that all of them can be tried without data."""

import json
import lzma
from pathlib import Path

from mixbench.data.frozen import read_frozen
from mixbench.data.pairs import pairs_from_task
from mixbench.files import write_atomic

TASK = "stdlib-code"
NAMES = ("arxiv", "code")
PAIRS = 200


def write_embedded(folder: Path) -> dict[str, str]:
    """Write pairs, and their positives as documents, below `folder`; return what {text} and {pairs} are."""
    pairs = pairs_from_task(TASK, read_frozen(TASK, "train")).take(range(PAIRS))
    rows = [
        json.dumps({"query": query, "positive": positive}) + "\n"
        for query, positive in zip(pairs.queries, pairs.positives, strict=True)
    ]
    text = folder / "text.jsonl"
    write_atomic(text, "".join(rows))
    for name in NAMES:
        write_atomic(folder / f"{name}.jsonl.xz", lzma.compress("".join(rows).encode()))
    return {"text": str(text), "pairs": str(folder)}
