"""Compiling a network for training: block by block, for every number and length of texts."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.fx.experimental import _config as shapes


@contextmanager
def compiled_blocks(network: nn.Module) -> Iterator[None]:
    """Compile the blocks of `network` at their first use, and leave them as they were."""
    blocks = blocks_of(network)
    for block in blocks:
        block.compile(dynamic=True)
    before = shapes.use_duck_shape
    # Else a first chunk of 512 texts at width 512 is taken for a rule, and the next is compiled anew.
    shapes.use_duck_shape = False
    try:
        yield
    finally:
        shapes.use_duck_shape = before
        for block in blocks:
            block._compiled_call_impl = None


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that a network repeats, its longest list of modules; the network where there is none.

    Compiled one by one they share their code.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    longest = max(lists, key=len, default=None)
    return [network] if longest is None else list(longest)
