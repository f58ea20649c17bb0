"""What every retriever is: index a corpus once, then search it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mixbench.data import Document

Ranking = list[tuple[str, float]]
"""(doc_id, score) pairs, best first; equal scores in descending doc_id order, as trec_eval ranks them."""


class Retriever(Protocol):
    """A system that ranks the documents of a corpus for a query.

    `name` is what the leaderboard shows. `recipe` holds every setting that can change a ranking (JSON
    values only) and, for a trained model, `model_sha256` over its files; equal recipes mean equal rankings.
    `training_sources` names what a model was trained on, its teacher's sources included; None means that
    nobody says.

    Some say more: `truncated_share`, the share of indexed documents that were read cut; `flops_per_document`;
    `training_command`, which makes the model again; `architecture`, and the one that they are a control of,
    `control_of`; and `advance`, a function that they call with the number of texts done since its last call.
    Some have `for_task`, which returns them without an index as they run on a task of mteb (its name there,
    or None).

    Some know queries by their ids: where there is an attribute `query_ids`, it is set before each search to
    the ids of its queries, in their order. In a task of several parts they are called part/query_id, as in
    the runs that mixbench writes. A `tag` names the system in such runs, where `name` does not.
    """

    @property
    def name(self) -> str: ...

    @property
    def training_sources(self) -> Sequence[str] | None: ...

    @property
    def recipe(self) -> Mapping[str, Any]: ...

    @property
    def parameters(self) -> int:
        """Trainable parameters; 0 for a lexical system."""
        ...

    @property
    def index_bytes(self) -> int:
        """Bytes held by the current index."""
        ...

    def index(self, corpus: Sequence[Document]) -> None:
        """Replace the index by one of `corpus`."""
        ...

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """Return at most `k` documents for each query, in the order of `queries`."""
        ...
