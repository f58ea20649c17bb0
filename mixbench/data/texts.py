"""Texts to learn a language from: text files, JSON Lines and datasets of the hub, as pieces of documents.

A text file (also .gz, .xz, .bz2) is one document, or several with `<|endoftext|>` between them, on a line
of its own or not. A line of a .jsonl file is a document: its `text`, or `positive` where it is a pair.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mixbench.errors import InputError, MissingData, MixbenchError
from mixbench.files import OPENERS, numbered_lines, parse_json, sha256_file

MARK = "<|endoftext|>"
HUB = "hub:"
PIECE = 100_000
"""Characters after which a document goes on in its next piece: long ones are never held whole."""


class Piece(NamedTuple):
    """Whole lines of a document; `last` tells that the document ends here."""

    text: str
    last: bool


class TextSource(NamedTuple):
    """A place that texts come from. `sha256` identifies the text: a file's bytes, or a dataset's revision."""

    name: str
    place: str
    sha256: str


def text_source(place: str) -> TextSource:
    """Return the source that `place` (a path, or hub:ORG/NAME[:CONFIG]) names; its text is not read yet.

    Raises:
        InputError: there is no such file, or the name of the dataset is none.
        MissingData: the hub does not give the dataset.
    """
    if place.startswith(HUB):
        return _hub_source(place)
    path = Path(place)
    try:
        digest = sha256_file(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError.at(path, None, f"cannot be read ({reason}); give a text or .jsonl file") from None
    return TextSource(path.name.split(".")[0] or path.name, place, digest)


def read_pieces(source: TextSource) -> Iterator[Piece]:
    """Yield the documents of `source` in order, without blank lines; blank documents are left out.

    Raises:
        InputError: by file and line, what cannot be read.
    """
    if source.place.startswith(HUB):
        documents = _hub_documents(source)
    elif [suffix for suffix in Path(source.place).suffixes if suffix not in OPENERS][-1:] == [".jsonl"]:
        documents = _json_documents(Path(source.place))
    else:
        return _joined(f"{line}\n" for _, line in numbered_lines(Path(source.place)))
    return _joined(f"{document}\n{MARK}" for document in documents)


def _joined(lines: Iterator[str]) -> Iterator[Piece]:
    """Yield pieces of at most `PIECE` characters and a line, cut at the marks in `lines`."""
    kept: list[str] = []
    size, begun = 0, False
    for line in lines:
        for number, part in enumerate(line.split(MARK)):
            if number and (begun or size):
                yield Piece("".join(kept), True)
                kept, size, begun = [], 0, False
            if part.strip():
                kept.append(part)
                size += len(part)
        if size > PIECE:
            yield Piece("".join(kept), False)
            kept, size, begun = [], 0, True
    if begun or size:
        yield Piece("".join(kept), True)


def _json_documents(path: Path) -> Iterator[str]:
    for number, line in numbered_lines(path):
        try:
            row: Any = parse_json(line)
        except ValueError as error:
            raise InputError.at(path, number, f"not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError.at(path, number, f"not an object with 'text' but {row!r:.60}")
        text = row.get("text", row.get("positive"))
        if not isinstance(text, str):
            raise InputError.at(
                path, number, f"no 'text' and no 'positive'; its keys are {sorted(row)!r:.200}"
            )
        yield text


def _hub_source(place: str) -> TextSource:
    name, _, config = place.removeprefix(HUB).partition(":")
    if name.count("/") != 1 or not all(name.split("/")):
        raise InputError(f"text {place!r}: name a dataset of the hub as hub:ORG/NAME or hub:ORG/NAME:CONFIG")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        revision = HfApi().dataset_info(name, timeout=10).sha
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise MissingData(
            f"text {place!r}: the hub does not give this dataset ({type(error).__name__});"
            " check its name and the connection, or give a text file"
        ) from None
    return TextSource(name, place, f"{revision}:{config}")


def _hub_documents(source: TextSource) -> Iterator[str]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise MixbenchError(f"text {source.place!r} needs a package: pip install datasets") from None
    revision, _, config = source.sha256.partition(":")
    rows = load_dataset(source.name, config or None, split="train", streaming=True, revision=revision)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("text"), str):
            raise InputError.at(source.place, number, f"no column 'text'; its columns are {sorted(row)!r}")
        yield row["text"]
