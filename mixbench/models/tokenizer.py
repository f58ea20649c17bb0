"""The tokenizer that mixers and their twins share: lower-cased byte-level BPE.

Byte level, so that any text in any script has tokens and every token sequence has a text. White space is
folded to single spaces, and a word has the same token at the start of a text as inside it. Each text ends
with `<|endoftext|>`: it is the token whose state becomes the embedding, and an empty text still has it.
"""

from collections.abc import Iterable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from mixbench.errors import InputError
from mixbench.files import numbered_lines, write_atomic
from mixbench.models.opening import opening, try_tokenizer

PAD, END = "<|pad|>", "<|endoftext|>"
VOCABULARY = 16_384
SHIPPED = "bpe-16k.json"
WORDS = r"'(?:s|t|d|m|ll|ve|re)\b| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train a tokenizer of at most `vocabulary` tokens on `texts`. The same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Prepend(" "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, end)]
    )
    return tokenizer


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the paragraphs of text files, through gzip, xz or bzip2; document marks are left out."""
    for path in paths:
        for _, line in numbered_lines(path):
            text = line.replace(END, " ").strip()
            if text:
                yield text


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer as one JSON file, at once or not at all."""
    write_atomic(path, tokenizer.to_str())


def load_tokenizer(path: Path | None = None) -> PreTrainedTokenizerFast:
    """Return the tokenizer in `path`, or the one shipped in the package.

    Raises:
        InputError: the file is missing or is no tokenizer.
    """
    if path is not None:
        return read_tokenizer(path)
    with as_file(files("mixbench.models") / SHIPPED) as shipped:
        return read_tokenizer(shipped)


def read_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer in the JSON file `path`.

    Raises:
        InputError: the file is missing or is no tokenizer.
    """
    with opening(f"{path}: cannot be read as a tokenizer", InputError):
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        try_tokenizer(tokenizer.encode)
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, padding_side="right"
        )
