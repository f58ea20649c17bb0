"""A search of shards on disk, by a process that may have so much memory and tells what it took.

Called with a folder, the bytes that private memory may have (0: as many as it likes), the search's budget and
k. The folder holds queries.npy, float32, and shards of documents.
"""

import json
import resource
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import torch

from mixbench.retrievers.exact_search import search_shards


def anonymous_bytes() -> int:
    """Return the private memory of this process that is in use; pages of mapped files are not in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon:"))) * 1024


def main() -> None:
    """Search, and print JSON: scores, positions, bytes before and at the most."""
    folder, (limit, memory, k) = Path(sys.argv[1]), map(int, sys.argv[2:])
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(2)
    shards = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("shard-*.npy"))]
    queries = torch.from_numpy(np.load(folder / "queries.npy"))
    search_shards(queries[:1, :8].contiguous(), [np.zeros((3, 8), np.float16)], 1)
    seen = [before := anonymous_bytes()]

    def watch() -> None:
        while True:
            seen.append(anonymous_bytes())
            time.sleep(0.01)

    Thread(target=watch, daemon=True).start()
    scores, positions = search_shards(queries, shards, k, memory=memory)
    told = {"before": before, "peak": max(*seen, anonymous_bytes())}
    print(json.dumps(told | {"scores": scores.tolist(), "positions": positions.tolist()}))


if __name__ == "__main__":
    main()
