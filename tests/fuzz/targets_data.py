"""Targets: evaluation data, training pairs, texts, and archives of them."""

import io
import json
import zipfile
from pathlib import Path

from mixbench.data.beir import read_beir_folder
from mixbench.data.builders import build
from mixbench.data.pairs import read_pairs
from mixbench.data.texts import read_pieces, text_source
from mixbench.data.zips import unpack
from mixbench.interop.trec import read_qrels, read_run
from mixbench.models.tokenizer import read_texts
from mixbench.tasks import find_tasks

from .target import PACK, File, Target, packed

DEEP = b"[" * 3000
CORPUS = b"""{"_id": "d1", "title": "Mixers", "text": "A mixer mixes."}
{"_id": "d2", "text": "Kein Titel: \xc3\x9f, \xe6\xb7\xb7, \xf0\x9f\x98\x80"}
{"_id": "d3", "title": "", "text": ""}
"""
QUERIES = b'{"_id": "q1", "text": "what mixes"}\n{"_id": "q2", "text": "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"}\n'
QRELS = b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t-1\nq2\td3\t0\n"
TREC_QRELS = b"q1 0 d1 2\nq1 0 d2 -1\nq2 0 d3 0\n"
TREC_RUN = b"q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1e-3 tag\nq2 Q0 d3 1 -7 other\n"
NUMBER = b'{"_id": "d1", "text": ' + b"7" * 5000 + b"}\n"
SURROGATE = b'{"_id": "\\ud800", "text": "x"}\n'
BESIDE = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}
TASK = b"""description = "Three documents."
folder = "tiny"
eval_split = "test"
main_metric = "ndcg_at_10"
licence = "CC0-1.0"
redistribute = true
in_domain = ["a"]
[parts]
one = "One"
[reference]
bm25 = 0.5
"""
PAIRS = b"""{"query": "which", "positive": "this one"}
{"query": "and", "positive": "that", "negatives": ["other", "none"]}
{"query": "last", "positive": "one", "negatives": null}
"""
TEXT = b"one document\n<|endoftext|>\nanother <|endoftext|> third\n\n"
RAW = {
    "train.jsonl": b'{"paper_id": "a", "source": ["s"], "target": ["t"]}\n',
    "dev.jsonl": b'{"paper_id": "b", "source": ["s"], "target": ["t"]}\n',
    "test.jsonl": b'{"paper_id": "c", "source": ["s"], "target": ["t"]}\n',
    "dev.json": b"""{"data": [{"title": "T", "paragraphs": [
{"context": "c", "qas": [{"id": "q", "question": "?"}]}]}]}""",
    "code_idx_map.json": b'{"def f(): pass": 3}',
    "test.json": b'[{"idx": "q", "doc": "what", "code": "def f(): pass"}]',
}


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of `members`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    """Return the member of a zip that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def beir() -> Target:
    """The three files of a BEIR folder."""
    rows = [CORPUS, NUMBER, SURROGATE, DEEP]
    return Target(
        read=lambda folder: read_beir_folder(folder, "test"),
        beside=BESIDE,
        files=[
            File(name="corpus.jsonl", seeds=rows),
            File(name="queries.jsonl", seeds=[QUERIES, NUMBER, SURROGATE]),
            File(name="qrels/test.tsv", seeds=[QRELS, QRELS.replace(b"d1", b'"d1"')]),
        ],
    )


def beir_packed() -> Target:
    """A BEIR folder with a corpus and queries of which there are packed files alone."""

    files = [
        file
        for name, seed in (("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES))
        for file in packed(name, [seed], ["gz"])[1:]
    ]
    beside = {"qrels/test.trec": TREC_QRELS}
    beside |= {f"{name}.gz": PACK["gz"](BESIDE[name]) for name in ("corpus.jsonl", "queries.jsonl")}
    return Target(
        read=lambda folder: read_beir_folder(folder, "test"),
        beside=beside,
        files=[*files, File(name="qrels/test.trec", seeds=[TREC_QRELS])],
    )


def trec() -> Target:
    """TREC runs and judgments, packed or not."""

    def read(folder: Path) -> object:
        told: list[str] = []
        found = [read_run(path, told.append) for path in folder.glob("run*")]
        return [*found, *(read_qrels(path) for path in folder.glob("qrels*"))]

    files = [*packed("run.trec", [TREC_RUN]), *packed("qrels.trec", [TREC_QRELS])]
    return Target(read=read, files=files)


def task() -> Target:
    """A task file."""
    seeds = [TASK, b"a=" + DEEP, b"[a.b]\nc = 1979-05-27\n", b"a." * 3000 + b"b = 1\n"]
    return Target(read=find_tasks, files=[File(name="zoo/tiny.toml", seeds=seeds)])


def pairs() -> Target:
    """A file of pairs, with mined negatives or without."""
    seeds = [PAIRS, NUMBER, DEEP, SURROGATE.replace(b"_id", b"query")]
    return Target(
        read=lambda folder: [read_pairs(path) for path in folder.iterdir()], files=packed("p.jsonl", seeds)
    )


def parquet() -> Target:
    """A file of pairs in parquet."""
    import pyarrow
    from pyarrow import parquet as format

    made = io.BytesIO()
    rows = [json.loads(line) for line in PAIRS.splitlines()]
    format.write_table(pyarrow.Table.from_pylist(rows), made)
    return Target(
        read=lambda folder: read_pairs(folder / "p.parquet"),
        files=[File(name="p.parquet", seeds=[made.getvalue()])],
    )


def texts() -> Target:
    """Texts to pretrain on, and to train a tokenizer on."""

    def read(folder: Path) -> object:
        paths = list(folder.iterdir())
        return [list(read_pieces(text_source(str(path)))) for path in paths], list(read_texts(paths))

    files = [*packed("t.txt", [TEXT]), *packed("t.jsonl", [b'{"text": "a"}\n' + PAIRS, NUMBER, DEEP])]
    return Target(read=read, files=files)


def raw() -> Target:
    """The raw files that tasks are built from."""

    def read(folder: Path) -> object:
        return [build(name, folder) for name in ("scitldr", "squad", "cosqa")]

    files = [File(name=name, seeds=[content, DEEP]) for name, content in RAW.items()]
    return Target(read=read, beside=RAW, files=files)


def archive() -> Target:
    """A zip from the web, unpacked."""

    def read(folder: Path) -> None:
        unpack(folder / "a.zip", folder / "made", "the address")
        left = [path for path in (folder / "made").rglob("*") if path.is_symlink()]
        assert not left, left

    members = list(BESIDE.items())
    seeds = [
        zipped(*members),
        zipped(*members, method=zipfile.ZIP_STORED),
        zipped(*members, method=zipfile.ZIP_LZMA),
        zipped(*members, method=zipfile.ZIP_BZIP2),
        zipped(("../out", b"x")),
        zipped(("/nowhere/out", b"x")),
        zipped((link("l"), b"/etc"), ("l/passwd", b"x")),
        zipped(("a", b"x"), ("a/b", b"x")),
        zipped(("zeros", bytes(1 << 20))),
    ]
    return Target(read=read, files=[File(name="a.zip", seeds=seeds)])
