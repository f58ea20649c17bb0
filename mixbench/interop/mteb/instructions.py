"""Models that put an instruction before each query, and the instruction that mteb has for each task."""

from typing import Any

import mteb
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.types import PromptType

from mixbench.interop.mteb.known_models import SentenceTransformerDetails, model_meta, training_datasets

UNDERSTOOD = {
    "instruction_template",
    "apply_instruction_to_passages",
    "model_kwargs",
    "add_eos_token",
    "tokenizer_kwargs",
}
"""Settings that we can follow; what a model says of its end token is in its own files too."""


def instructed_details(name: str) -> SentenceTransformerDetails | None:
    """Return how to load `name` with sentence-transformers and instruct it, or None where it needs more.

    The query prompt is a template with "{instruction}" in it; documents have no prompt. Models that need
    foreign code, instructions of their own, or instructed documents give None. Raises UnknownName.
    """
    meta = model_meta(name)
    said: dict[str, Any] = meta.loader_kwargs
    template, weights = said.get("instruction_template"), dict(said.get("model_kwargs", {}))
    dtype = weights.pop("dtype", weights.pop("torch_dtype", None))
    loader: Any = meta.loader
    followed = (
        loader is InstructSentenceTransformerModel
        and set(said) <= UNDERSTOOD
        and isinstance(template, str)
        and said.get("apply_instruction_to_passages") is False
        and not weights
        and set(said.get("tokenizer_kwargs", {})) <= {"add_bos_token"}
    )
    if not followed or not isinstance(template, str):
        return None
    named = None if dtype in (None, "auto") else str(getattr(dtype, "value", dtype))
    return SentenceTransformerDetails(meta.revision, template, "", training_datasets(meta), named)


def query_instruction(task: str) -> str:
    """Return the instruction that mteb gives to the queries of its task `task`; "" where it has none.

    A task without an instruction of its own has that of its kind; a task of several has theirs where they
    agree. Raises KeyError for no task of mteb.
    """
    found = mteb.get_task(task)
    parts = [part.metadata for part in getattr(found, "tasks", ())] or [found.metadata]
    told = {_Instructions().get_instruction(metadata, PromptType.query) for metadata in parts}
    return told.pop() if len(told) == 1 else ""


def instructions_version() -> str:
    """Return what decides every instruction: the release of mteb."""
    return f"mteb {mteb.__version__}"


class _Instructions(AbsEncoder):
    """A model without instructions of its own, so that each task's is used."""

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("this only tells instructions")
