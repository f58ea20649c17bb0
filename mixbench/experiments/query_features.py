"""What is known of queries beside their scores, by which a comparison divides them."""

import re
from collections.abc import Sequence

from mixbench.data import RetrievalData


def query_features(data: Sequence[RetrievalData]) -> dict[str, dict[str, float]]:
    """Return name -> query_id -> number: words of the query, documents relevant to it, and lexical overlap.

    The overlap is the share of a query's words, in lower case, that a relevant document has: the mean over
    these.
    """
    lengths: dict[str, float] = {}
    relevant: dict[str, float] = {}
    overlap: dict[str, float] = {}
    for each in data:
        documents = {document.doc_id: document.content for document in each.corpus}
        for query_id, text in each.queries.items():
            name = each.prefix + query_id
            found = [doc_id for doc_id, relevance in each.qrels[query_id].items() if relevance > 0]
            lengths[name], relevant[name] = len(_words(text)), len(found)
            words = set(_words(text))
            shares = [len(words.intersection(_words(documents.get(doc_id, "")))) for doc_id in found]
            overlap[name] = round(sum(shares) / max(len(shares) * len(words), 1), 6)
    return {"words in the query": lengths, "relevant documents": relevant, "lexical overlap": overlap}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
