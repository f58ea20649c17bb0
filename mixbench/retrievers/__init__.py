"""Retrievers: one protocol, index and search."""

from mixbench.retrievers.protocol import Ranking, Retriever

__all__ = ["Ranking", "Retriever"]
