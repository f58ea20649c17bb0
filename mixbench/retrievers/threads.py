"""Threads that each compute by themselves, in place of all of them sharing each operation of torch.

Threads that share an operation wait for the slowest at its end: the longer, the more else the machine does.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let torch use one thread for an operation, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that each have one for an operation; on an error what has not begun never begins."""
    with one_thread_each():
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
