"""The peer of `mixbench bench eval`, as a program: `mteb.evaluate` of a model on a task's local data.

It is called with one JSON object and prints another. mixbench only reads the data and opens the model here.
"""

import json
import sys
from pathlib import Path

from mixbench.evaluation.cost import peak_memory_bytes
from mixbench.experiments.bench_encode_models import open_peer
from mixbench.experiments.evaluating import Places, chosen_tasks, load_split_of
from mixbench.experiments.systems import EncoderOptions
from mixbench.interop.mteb.local_task import score_by_mteb


def main() -> None:
    """Evaluate, and print the main score, mteb's seconds and the peak of memory in bytes."""
    asked = json.loads(sys.argv[1])
    places = Places(
        tasks_dir=asked["tasks_dir"] and Path(asked["tasks_dir"]),
        data_dir=asked["data_dir"] and Path(asked["data_dir"]),
        offline=True,
    )
    (task,) = chosen_tasks([asked["task"]], places.tasks_dir)
    (data,) = load_split_of(task, places, task.eval_split)
    options = EncoderOptions(batch_size=asked["batch_size"], offline=True)
    told = score_by_mteb(
        open_peer(asked["model"], options),
        asked["mteb"],
        [(document.doc_id, document.title, document.text) for document in data.corpus],
        data.queries,
        data.qrels,
        split=task.eval_split,
        batch_size=options.batch_size,
    )
    print(json.dumps(told | {"memory_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main()
