"""Compiling a network for training: block by block, for every number and length of texts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import nn
from torch.fx.experimental import _config as shapes


@contextmanager
def compiled_blocks(network: nn.Module) -> Iterator[None]:
    """Compile the blocks of `network` at their first use, and leave them as they were."""
    blocks = blocks_of(network)
    for block in blocks:
        block.compile(dynamic=True)
        assert block._compiled_call_impl is not None
        block._compiled_call_impl = _of_any_shape(block._compiled_call_impl)
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None


def _of_any_shape(call: Callable[..., Any]) -> Callable[..., Any]:
    """Call with each size its own: else a first chunk of 512 texts at width 512 is taken for a rule.

    The next would be compiled anew. The setting is that of a thread, and autograd has some of its own.
    """

    @wraps(call)
    def called(*arguments: Any, **named: Any) -> Any:
        before = shapes.use_duck_shape
        shapes.use_duck_shape = False
        try:
            return call(*arguments, **named)
        finally:
            shapes.use_duck_shape = before

    return called


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that a network repeats, its longest list of modules; the network where there is none.

    Compiled one by one they share their code.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    longest = max(lists, key=len, default=None)
    return [network] if longest is None else list(longest)
