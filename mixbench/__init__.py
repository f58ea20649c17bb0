"""mixbench: evaluate retrievers, train masked mixers, publish leaderboards.

These names are the public API. Each is imported on first use, so that `import mixbench` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixbench.data import RetrievalData, load_data
    from mixbench.evaluation import evaluate
    from mixbench.leaderboard import render_board as render_leaderboard
    from mixbench.models import build_model
    from mixbench.models.load import load_model
    from mixbench.models.mixer import MaskedMixer, MixerConfig
    from mixbench.results import Result, find_results
    from mixbench.retrievers.bm25 import BM25
    from mixbench.retrievers.dense import DenseRetriever
    from mixbench.retrievers.fusion import Fusion
    from mixbench.retrievers.mteb_model import as_mteb
    from mixbench.retrievers.rerank import Reranked
    from mixbench.tasks import Task, find_tasks, load_task
    from mixbench.training.contrastive import train_retriever

    __version__: str

__all__ = [
    "BM25",
    "DenseRetriever",
    "Fusion",
    "MaskedMixer",
    "MixerConfig",
    "Reranked",
    "Result",
    "RetrievalData",
    "Task",
    "as_mteb",
    "build_model",
    "evaluate",
    "find_results",
    "find_tasks",
    "load_data",
    "load_model",
    "load_task",
    "render_leaderboard",
    "train_retriever",
]

_HOMES = {
    "BM25": "mixbench.retrievers.bm25:BM25",
    "DenseRetriever": "mixbench.retrievers.dense:DenseRetriever",
    "Fusion": "mixbench.retrievers.fusion:Fusion",
    "MaskedMixer": "mixbench.models.mixer:MaskedMixer",
    "MixerConfig": "mixbench.models.mixer:MixerConfig",
    "Reranked": "mixbench.retrievers.rerank:Reranked",
    "Result": "mixbench.results:Result",
    "RetrievalData": "mixbench.data:RetrievalData",
    "Task": "mixbench.tasks:Task",
    "as_mteb": "mixbench.retrievers.mteb_model:as_mteb",
    "build_model": "mixbench.models:build_model",
    "evaluate": "mixbench.evaluation:evaluate",
    "find_results": "mixbench.results:find_results",
    "find_tasks": "mixbench.tasks:find_tasks",
    "load_data": "mixbench.data:load_data",
    "load_model": "mixbench.models.load:load_model",
    "load_task": "mixbench.tasks:load_task",
    "render_leaderboard": "mixbench.leaderboard:render_board",
    "train_retriever": "mixbench.training.contrastive:train_retriever",
}
"""Where each public name lives, as module:name."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mixbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'mixbench' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
