"""Commands of mixbench as processes that start at once: forked from one that has loaded the libraries.

Loading torch and sentence-transformers takes seconds, and a list of runs has a hundred short commands. So a
server loads them once (multiprocessing's forkserver) and each command begins as its copy, with a session,
environment, log and output of its own. The server never touches a GPU, which a fork could not share.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

LOADED = (
    "mixbench.cli",
    "mixbench.experiments.matching",
    "mixbench.experiments.pools",
    "mixbench.experiments.probing",
    "mixbench.models.language_model",
    "mixbench.models.load",
    "mixbench.models.transformer",
    "mixbench.probes.inversion",
    "mixbench.probes.retention",
    "mixbench.training.contrastive",
    "mixbench.training.pretrain",
)
"""What the server loads before the first command, and through it torch and sentence-transformers."""

THREADS = "OMP_NUM_THREADS"
"""Variable that says how many threads a process may compute with."""


def start_command(
    words: Sequence[str], environment: Mapping[str, str], *, log: Path, output: Path
) -> BaseProcess:
    """Return the started process of `mixbench WORDS`; it leads a session of its own once it runs.

    It has no input; what it prints is added to `output`, what it says on standard error to `log`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    surroundings = {**os.environ, **environment}
    process = context.Process(
        target=_command, args=(list(words), str(Path.cwd()), surroundings, str(log), str(output))
    )
    process.start()
    return process


def _command(words: list[str], folder: str, environment: Mapping[str, str], log: str, output: str) -> None:
    """Be `mixbench WORDS`, as if the program had been started so, in `folder`."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for place, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 1),
        (log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 2),
    ):
        opened = os.open(place, flags, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["mixbench", *words]
    import torch

    from mixbench.data.hub import stay_offline

    if environment.get("HF_HUB_OFFLINE") == "1":
        stay_offline()
    if threads := environment.get(THREADS):
        torch.set_num_threads(int(threads))  # the variable was read when the server loaded torch
    runpy.run_module("mixbench", run_name="__main__")
