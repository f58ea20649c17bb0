"""A run shared among processes, as torchrun and accelerate start them: who is first, and what all agree on.

Each process holds the whole model and all pairs, and embeds its share of each batch (`gathering.py`). The
first alone writes and speaks. A process that was started by itself is the first of one; it waits for nobody.
"""

import gc
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

from mixbench.errors import InputError, MixbenchError

PATIENCE = timedelta(days=7)
"""How long the others wait for the first, which may embed a teacher's texts for hours. Where a process dies,
its launcher ends the others."""

Made = TypeVar("Made")


def started() -> int:
    """Return how many processes were started to share a run."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def count() -> int:
    """Return how many processes share the run: 1 before `join`."""
    if started() == 1:
        return 1
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Return the number of this process among those that share the run, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def join(device: str) -> str:
    """Meet the processes that were started with this one; return its own device, which "cuda" stands for.

    They talk by gloo, and between GPUs by nccl. Called again it changes nothing.

    Raises:
        InputError: the device is not one that each process can have its own of, or the launcher was told to
            split a model's weights.
    """
    if started() == 1:
        return device
    import torch
    import torch.distributed as dist

    own = f"cuda:{os.environ['LOCAL_RANK']}"
    if not dist.is_initialized():
        on_gpu = device.startswith("cuda") and torch.cuda.is_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    with together():
        if device not in ("cpu", "cuda", own):
            raise InputError(f"device {device!r}: each of {count()} processes has its own; give cpu or cuda")
        for plugin in ("FSDP", "DEEPSPEED"):
            if os.environ.get(f"ACCELERATE_USE_{plugin}", "false").lower() == "true":
                raise InputError(
                    f"{plugin} splits a model's weights, and each process trains a whole copy; start them"
                    " with torchrun, or with accelerate launch --multi_gpu"
                )
    return own if device == "cuda" else device


def check_count(found: int) -> None:
    """Raise InputError where accelerate has found more processes than `join`, as those of an MPI launcher."""
    if found != count():
        raise InputError(
            f"{found} processes were started that do not know their number on this machine (LOCAL_RANK);"
            " start them with torchrun or accelerate launch"
        )


@contextmanager
def company(device: str) -> Iterator[str]:
    """`join` the others for as long as a block lasts; what fails in this process alone, it says itself."""
    try:
        yield join(device)
    except MixbenchError as error:
        if error.repeated is None:
            error.repeated = False
        else:
            _leave(error)
        raise
    _leave()


def _leave(error: BaseException | None = None) -> None:
    """Leave the group; what holds on to it until the interpreter ends would abort that, now and then."""
    if count() == 1:
        return
    import torch.distributed as dist

    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    gc.collect()
    dist.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """Go through a block beside all others, and on when all are through; where it fails for one, for all.

    The error is that of the first process that has one of its own; for the others it is marked as `repeated`.
    """
    try:
        yield
    except Exception as error:
        _agree(error)
        raise
    _agree(None)


def first(work: Callable[[], Made]) -> Made:
    """Let the first process alone do `work`, and return in each what it made, which must be picklable."""
    if count() == 1:
        return work()
    import torch.distributed as dist

    made: list[Made | None] = [None]
    with together():
        if number() == 0:
            made[0] = work()
    dist.broadcast_object_list(made)
    return cast(Made, made[0])


def in_turn(work: Callable[[], Made]) -> Made:
    """Do `work` in the first process and then in the others, so that what must be fetched is fetched once."""
    made: list[Made] = []
    for is_turn_of_first in (True, False):
        with together():
            if (number() == 0) is is_turn_of_first:
                made.append(work())
    return made[0]


def _agree(error: Exception | None) -> None:
    """Wait for all; raise where only others failed, and mark `error` where another's goes before it."""
    if count() == 1:
        return
    import torch.distributed as dist

    told: list[MixbenchError | None] = [None] * count()
    own = error
    if error is not None and not isinstance(error, MixbenchError):
        own = MixbenchError(f"process {number()} failed with {type(error).__name__}: {error}")
    dist.all_gather_object(told, own)
    failed = [place for place, other in enumerate(told) if other is not None]
    if not failed:
        return
    cause = next((place for place in failed if not told[place].repeated), failed[0])  # type: ignore[union-attr]
    if error is None:
        repeated = told[cause]
        assert repeated is not None
        repeated.repeated = True
        raise repeated
    if isinstance(error, MixbenchError):
        error.repeated = cause != number()
