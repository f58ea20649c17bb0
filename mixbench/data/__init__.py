"""Retrieval data: one form, whatever the source."""

from mixbench.data.load import Location, load_data, locate, task_sha256
from mixbench.data.retrieval_data import Document, Qrels, RetrievalData, in_order

__all__ = [
    "Document",
    "Location",
    "Qrels",
    "RetrievalData",
    "in_order",
    "load_data",
    "locate",
    "task_sha256",
]
