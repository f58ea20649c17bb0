"""Tasks built from the public files of their origin: raw files in, one collection out, nothing sampled.

Each builder is given the folder that holds the raw files under the names of the task's `raw` table. The data
that it builds has the task's recorded sha256.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mixbench.data.retrieval_data import Document, RetrievalData
from mixbench.errors import InputError, UnknownName
from mixbench.files import numbered_lines, parse_json

SPLIT = "test"


def build(name: str, raw: Path) -> RetrievalData:
    """Return what the builder called `name` makes of the files in `raw`.

    Raises UnknownName, and InputError for a file that is not in the form of its origin.
    """
    if name not in BUILDERS:
        raise UnknownName.of("builder", name, BUILDERS)
    try:
        corpus, queries, relevant = BUILDERS[name](raw)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        problem = f"not the raw files of {name!r} ({type(error).__name__}: {error})"
        raise InputError.at(raw, None, f"{problem}; download them again") from error
    qrels = {query_id: {doc_id: 1} for query_id, doc_id in relevant.items()}
    return RetrievalData(corpus=corpus, queries=queries, qrels=qrels, split=SPLIT, source="folder")


def _squad(raw: Path) -> "Built":
    """SQuAD 1.1's development set: each question to its paragraph, among all paragraphs."""
    corpus, queries, relevant = [], {}, {}
    for article in parse_json((raw / "dev.json").read_text(encoding="utf-8"))["data"]:
        title = article["title"]
        for number, paragraph in enumerate(article["paragraphs"]):
            doc_id = f"{title}_{number}"
            corpus.append(Document(doc_id, title.replace("_", " "), paragraph["context"].strip()))
            for question in paragraph["qas"]:
                queries[question["id"]] = question["question"].strip()
                relevant[question["id"]] = doc_id
    return corpus, queries, relevant


def _cosqa(raw: Path) -> "Built":
    """CoSQA's 500 test queries to their function, among the 6,267 functions of its index."""
    index = parse_json((raw / "code_idx_map.json").read_text(encoding="utf-8"))
    corpus = [Document(f"c{number}", "", code) for code, number in index.items()]
    queries, relevant = {}, {}
    for record in parse_json((raw / "test.json").read_text(encoding="utf-8")):
        queries[record["idx"]] = record["doc"]
        relevant[record["idx"]] = f"c{index[record['code']]}"
    return corpus, queries, relevant


def _scitldr(raw: Path) -> "Built":
    """SciTLDR's test set: the first summary of each paper to its abstract, among all three splits'."""
    corpus = [
        Document(record["paper_id"], "", " ".join(record["source"]))
        for split in ("train", "dev", "test")
        for record in _records(raw / f"{split}.jsonl")
    ]
    queries, relevant = {}, {}
    for record in _records(raw / "test.jsonl"):
        query_id = f"{record['paper_id']}-t"
        queries[query_id] = record["target"][0]
        relevant[query_id] = record["paper_id"]
    return corpus, queries, relevant


def _records(path: Path) -> Iterator[Any]:
    for number, line in numbered_lines(path):
        try:
            yield parse_json(line)
        except ValueError as error:
            raise InputError.at(path, number, "broken JSON; download the file again") from error


Built = tuple[Iterable[Document], dict[str, str], dict[str, str]]
"""Corpus, queries (query_id -> text), and the relevant document of each."""
BUILDERS: dict[str, Callable[[Path], Any]] = {"squad": _squad, "cosqa": _cosqa, "scitldr": _scitldr}
