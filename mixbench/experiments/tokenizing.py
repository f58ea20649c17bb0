"""`mixbench train-tokenizer`: from pair and text files to one tokenizer file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mixbench.data.pairs import read_pairs


def run_tokenizer_training(
    output: Path, pairs: Sequence[Path], text: Sequence[Path], vocabulary: int
) -> Path:
    """Train on every distinct text of `pairs`, then on `text`, in the order given, and write `output`."""
    from mixbench.errors import InputError
    from mixbench.models.tokenizer import read_texts, save_tokenizer, train_tokenizer

    if not pairs and not text:
        raise InputError("nothing to train a tokenizer on: give --pairs or --text")

    def texts() -> Iterator[str]:
        for path in pairs:
            read = read_pairs(path)
            yield from dict.fromkeys([*read.queries, *read.positives])
        yield from read_texts(text)

    save_tokenizer(train_tokenizer(texts(), vocabulary), output)
    return output
