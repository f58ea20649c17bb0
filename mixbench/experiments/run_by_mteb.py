"""Models that mteb itself loads and runs: which of our options they take."""

from typing import TYPE_CHECKING

from mixbench.errors import InputError
from mixbench.retrievers.mteb_model import MtebRetriever

if TYPE_CHECKING:
    from mixbench.experiments.systems import EncoderOptions

DECIDED_BY_MTEB = ("max_length", "query_prompt", "document_prompt", "instruction", "dtype", "load_in_4bit")


def open_by_mteb(name: str, options: "EncoderOptions") -> MtebRetriever:
    """Return the model that mteb calls `name`, run by mteb.

    Raises InputError for options that it cannot follow, rather than leave them out of account; otherwise as
    `MtebRetriever`.
    """
    given = [key for key in DECIDED_BY_MTEB if getattr(options, key) != getattr(type(options), key)]
    if given:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise InputError(
            f"model {name!r} is run by mteb, which decides its prompts, length and weights; leave out {flags}"
        )
    return MtebRetriever(
        name,
        device=options.device,
        batch_size=options.batch_size,
        similarity=options.similarity,
        truncate_dim=options.truncate_dim,
        precision=options.precision,
        memory=None if options.encoding is None else options.encoding.memory,
        trusted=options.trusts(name),
    )
