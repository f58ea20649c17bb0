"""Training that one process, or several together, make of the same words; as a script, one of the several."""

import json
import os
import sys
from pathlib import Path

import torch
from test_cli_training import write_pairs
from test_distill import encode, refuse, store
from test_hard_negatives import mined
from test_training import words
from torch import nn

from mixbench import cli
from mixbench.data.pairs import Pairs, PairSource, hold_out
from mixbench.errors import MixbenchError
from mixbench.training.config import TrainConfig
from mixbench.training.contrastive import Origin, train_retriever
from mixbench.training.distill import Teacher
from mixbench.training.processes import join

RUNS = {
    "plain": {},
    "symmetric": {"both_directions": True, "hard_negatives": 2, "batch_size": 7},
    "cached": {"mini_batch_size": 2, "hard_negatives": 2, "matryoshka": (4,)},
    "taught": {"infonce_weight": 0.5, "matryoshka": (8,), "average": 0.5},
    "taught and cached": {"mini_batch_size": 3, "both_directions": True, "batch_size": 8},
}
"""Names with "taught" in them have a teacher of other dimensions than the student."""
NEVER, AT_ONCE = 1e9, 1e-9
RANK = int(os.environ.get("RANK", 0))


def few() -> Pairs:
    """A source smaller than any batch, of three pairs: its batch is of three."""
    queries = ["pink tree", "black dog", "grey house"]
    return Pairs("few", queries, ["TREE PINK", "DOG BLACK", "HOUSE GREY"], [("CAT",), (), ("BOAT", "CAT")])


def train(output: Path, taught=False, resume=False, dropout=0.0, idle=False, **changes) -> None:
    """Train on 32 pairs and those of `few`, six steps unless `changes` says otherwise."""
    model = words()
    model[0].dropout.p = dropout
    if idle:
        model[0].pooler = nn.Parameter(torch.ones(3))
    kept, dev = hold_out(mined(), 8, seed=1)
    settings = {"batch_size": 9, "max_steps": 6, "eval_every": 2, "learning_rate": 0.05, "warmup_ratio": 0}
    config = TrainConfig(**settings | {"seed": 3} | changes)
    teacher = None
    if taught:  # the first process alone may open it
        teacher = Teacher(store(output.parent / "teachers"), refuse if RANK else lambda: encode)
    train_retriever(
        model, [PairSource(pairs=kept), PairSource(pairs=few())], config, output,
        origin=Origin(base="words"), dev=[dev], teacher=teacher, resume=resume, progress=False,
    )  # fmt: skip


def train_all(folder: Path) -> None:
    """Make all of `RUNS`, and one that is stopped after its first step."""
    for name, settings in RUNS.items():
        train(folder / name, taught="taught" in name, **settings)
    train(folder / "idle", idle=True)
    train(folder / "stopped", max_minutes=AT_ONCE)


def stop_by_one_clock(folder: Path) -> None:
    """Stop after each step by the first process's clock alone, and go on; each time, all must agree."""
    train(folder / "straight", dropout=0.3)
    mine, others = (NEVER, AT_ONCE) if RANK else (AT_ONCE, NEVER)
    train(folder / "steps", dropout=0.3, max_minutes=mine)
    for minutes in (mine, mine, others):
        train(folder / "steps", dropout=0.3, max_minutes=minutes, resume=True)


def failures(folder: Path) -> list[tuple[str, bool]]:
    """Return the errors of runs that cannot be, as this process has them, and whether another says them."""
    (folder / "taken").mkdir(exist_ok=True)
    (folder / "taken" / "file").touch()
    seen = []
    for attempt in (
        lambda: train(folder / "taken"),  # fails in both processes
        lambda: train(folder / "absent", resume=RANK == 1),  # in the second
        lambda: join("cuda:1"),  # in the first
    ):
        try:
            attempt()
        except MixbenchError as error:
            seen.append((str(error), error.repeated))
    return seen


def main(folder: Path) -> None:
    """Do all of the above, and end with a command that fails at work."""
    train_all(folder)
    stop_by_one_clock(folder)
    (folder / f"failures-{RANK}.json").write_text(json.dumps(failures(folder)))
    os.chdir(folder)
    write_pairs(folder / "things.jsonl")
    options = "-o out --set depth=1 --pairs things.jsonl --batch-size 8 --max-steps 4 --max-length 8"
    sys.argv = ["mixbench", "train-retriever", "tiny", *options.split(), "--learning-rate", "1e30"]
    cli.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
