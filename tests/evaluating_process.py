"""An evaluation by a process that may have so much more private memory and tells what it took.

Called with a folder, a size for `--memory` ("" for none) and the bytes that private memory may grow by (0: as
many as it likes). The folder holds a model, the task `zoo/big` in `tasks` and its data in `data`.
"""

import json
import resource
import sys
import time
from pathlib import Path
from threading import Thread

import torch

from mixbench import evaluate, load_data, load_task
from mixbench.experiments.storing import open_encoding
from mixbench.experiments.systems import EncoderOptions, open_system


def status_bytes(field: str) -> int:
    """Return a size in this process's status; RssAnon is private memory in use, VmData what may be used."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:"))) * 1024


def main() -> None:
    """Evaluate, and print JSON: scores, rankings, bytes before and at the most."""
    folder, memory, growth = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3])
    torch.set_num_threads(2)
    task = load_task("zoo/big", folder / "tasks")
    options = EncoderOptions(encoding=open_encoding(None, 0, stored=False, memory=memory))
    retriever = open_system(str(folder / "model"), options)
    read = status_bytes("RssAnon")
    data = load_data(task, data_dir=folder / "data", on_disk=memory is not None)
    read = status_bytes("RssAnon") - read
    retriever.index(data[0].corpus[:100])
    retriever.search(list(data[0].queries.values()), 10)
    retriever.index(data[0].corpus[:1])
    seen = [before := status_bytes("RssAnon")]

    def watch() -> None:
        while True:
            seen.append(status_bytes("RssAnon"))
            time.sleep(0.01)

    Thread(target=watch, daemon=True).start()
    if growth:
        limit = status_bytes("VmData") + growth
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    found = evaluate(retriever, task, data, command="a test")
    told = {"corpus": read, "before": before, "peak": max(*seen, status_bytes("RssAnon"))}
    result = found.result
    told |= {
        "scores": result.scores.model_dump(),
        "data": result.data_sha256,
        "queries": result.queries_sha256,
    }
    print(json.dumps(told | {"index": result.costs.index_bytes, "rankings": found.rankings}))


if __name__ == "__main__":
    main()
