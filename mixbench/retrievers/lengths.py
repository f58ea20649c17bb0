"""How many tokens of a text a model of sentence-transformers reads, and that it can be told to."""

from typing import TYPE_CHECKING

from mixbench.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

UNLIMITED = 2**31


def limit_length(model: "SentenceTransformer", tokens: int) -> None:
    """Let `model` read so many tokens of a text. Raises InputError where it cannot be told to."""
    try:
        model.max_seq_length = tokens
    except ValueError as error:
        raise InputError(f"maximum length {tokens!r}: {error}") from error
    except AttributeError:
        kind = type(model[0]).__name__
        raise InputError(
            f"maximum length {tokens!r}: {kind} always reads whole texts; leave the length out"
        ) from None


def checked_length(length: int | None, model: "SentenceTransformer", name: str) -> int | None:
    """Return the tokens that `model` reads at `length`, its own where that is None; None if it reads all.

    Raises InputError for a length that it cannot have.
    """
    own = model.max_seq_length
    if length is None:
        # A model that reads everything says None, infinity, or 10 to the power of 30.
        return own if isinstance(own, int) and own < UNLIMITED else None
    # Other than transformers, a model says no more than its own length.
    limit = own if model.config is None else getattr(model.config, "max_position_embeddings", None)
    if length < 1 or (isinstance(limit, int) and length > limit):
        upper = f" and at most {limit}, its positions" if isinstance(limit, int) else ""
        raise InputError(f"maximum length {length!r} for model {name!r}: it must be at least 1{upper}")
    limit_length(model, length)
    model.max_seq_length = own
    return length
