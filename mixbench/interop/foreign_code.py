"""Code that a model brings along: loaders of mteb allow it by themselves, here only its name does so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from transformers import dynamic_module_utils

from mixbench.errors import MixbenchError


@contextmanager
def refusing_foreign_code(name: str) -> Iterator[None]:
    """Raise MixbenchError where code that the model `name` brings along would run meanwhile.

    All of it passes through one function of transformers, whoever allowed it.
    """
    door: Any = dynamic_module_utils
    run = door.get_class_in_module
    door.get_class_in_module = _refusal(name)
    try:
        yield
    finally:
        door.get_class_in_module = run


def _refusal(name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise MixbenchError(foreign_code(name))

    return refuse


def foreign_code(name: str) -> str:
    """Return what is told of the model `name`, whose code is not trusted."""
    return (
        f"model {name!r} brings code of its own, which runs only if you name it: --trust-remote-code {name}"
    )
