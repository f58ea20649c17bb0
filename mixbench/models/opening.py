"""Whatever goes wrong while a model is opened, told in one line.

The libraries of models raise whatever their many readers do, and tokenizers ends in a panic, which is not
even an Exception, where its file contradicts itself. Some only do when a text comes, so a few are tried.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mixbench.errors import CheckpointError, MixbenchError

TRIAL = ("", "a", "some words of a text, and 12 more.", "".join(map(chr, range(32, 384))) + " שלום 混合 😀")


@contextmanager
def opening(failed: str, kind: type[MixbenchError] = CheckpointError) -> Iterator[None]:
    """Raise an error of `kind`, `failed` with the reason in brackets, for all that is raised meanwhile.

    Errors of mixbench stay what they are.
    """
    try:
        yield
    except (MixbenchError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise kind(f"{failed} ({reason})") from error


def try_tokenizer(tokenize: Callable[[str], object]) -> None:
    """Let a tokenizer read letters, marks and scripts of many kinds; raises what it raises."""
    for text in TRIAL:
        tokenize(text)
