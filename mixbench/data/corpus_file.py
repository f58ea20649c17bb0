"""A corpus whose texts are on disk: what is in memory of a document is its id, and where its texts are.

The texts are in a file without a name in the folder of temporary files, which goes with the corpus, however
the program ends. It holds title and text of each document, one after the other, in UTF-8.
"""

import mmap
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import overload

from mixbench.data.retrieval_data import Document
from mixbench.full_disk import writing

ENCODING = ("utf-8", "surrogatepass")


class CorpusFile(Sequence[Document]):
    """Documents that are read from disk whenever one is asked for; slices of it are such corpora too.

    Raises MixbenchError where their texts have no room.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self._doc_ids: list[str] = []
        self._starts = array("q", [0])
        with writing(Path(gettempdir())), TemporaryFile() as file:
            for doc_id, *texts in documents:
                self._doc_ids.append(doc_id)
                for text in texts:
                    self._starts.append(self._starts[-1] + file.write(text.encode(*ENCODING)))
            file.write(b"\n")  # of nothing no map can be made
            file.flush()
            self._texts = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._order = array("q", range(len(self._doc_ids)))

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, at: int) -> Document: ...
    @overload
    def __getitem__(self, at: slice) -> "CorpusFile": ...
    def __getitem__(self, at: int | slice) -> "Document | CorpusFile":
        """Return one document, or a corpus of some of them."""
        if isinstance(at, slice):
            return self._with(self._order[at])
        number = self._order[at]
        title, text, end = self._starts[2 * number : 2 * number + 3]
        title_text, text_text = self._texts[title:text], self._texts[text:end]
        return Document(self._doc_ids[number], title_text.decode(*ENCODING), text_text.decode(*ENCODING))

    def in_order(self, *, reverse: bool) -> "CorpusFile":
        """Return the same documents by their ids, ascending or descending."""
        return self._with(array("q", sorted(self._order, key=self._doc_ids.__getitem__, reverse=reverse)))

    def _with(self, order: "array[int]") -> "CorpusFile":
        other = object.__new__(CorpusFile)
        other.__dict__.update(self.__dict__, _order=order)
        return other
