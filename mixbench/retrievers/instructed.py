"""Dense retrieval by models that are told the task: an instruction stands before each query.

mteb has an instruction for each of its tasks. Other tasks have `DEFAULT_INSTRUCTION`, that of web search in
"Improving Text Embeddings with Large Language Models" (https://arxiv.org/abs/2401.00368).
"""

import copy
from collections.abc import Mapping
from typing import Any

from mixbench.retrievers.dense import DenseRetriever

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PLACE = "{instruction}"


class InstructedRetriever(DenseRetriever):
    """A dense retriever whose `query_prompt` is a template, with "{instruction}" for the task's instruction.

    Made for no task, it uses the default; `for_task` chooses. Otherwise as `DenseRetriever`.
    """

    instruction = DEFAULT_INSTRUCTION

    def for_task(self, task: str | None) -> "InstructedRetriever":
        """Return a retriever without an index over the same model, for a task of mteb or none of it."""
        from mixbench.interop.mteb.instructions import query_instruction

        other = copy.copy(self)
        other.instruction = (query_instruction(task) if task is not None else "") or DEFAULT_INSTRUCTION
        other._index = other._empty_index()
        return other

    @property
    def query_prefix(self) -> str:
        """What stands before each query."""
        return self.query_prompt.replace(PLACE, self.instruction)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Every setting that can change a ranking, the same for all tasks.

        The instruction is not part of it, or each task would make another model. It follows from the
        template, the release of mteb, the default, and the task, whose name is in a result's identity.
        """
        from mixbench.interop.mteb.instructions import instructions_version

        return {
            **super().recipe,
            "instructions": instructions_version(),
            "default_instruction": DEFAULT_INSTRUCTION,
        }
