"""Texts and pairs of exactly so many tokens, for timing what reads them: random words, one token each."""

import random

from transformers import PreTrainedTokenizerFast

from mixbench.data.pairs import Pairs
from mixbench.errors import InputError

END = 1
"""Tokens that the tokenizer adds to a text."""


def synthetic_pairs(
    tokenizer: PreTrainedTokenizerFast, count: int, query_tokens: int, positive_tokens: int, seed: int
) -> Pairs:
    """Return `count` pairs whose texts have these lengths in tokens, the end token included.

    Raises:
        InputError: a text would have no word.
    """
    for name, tokens in (("query_tokens", query_tokens), ("tokens", positive_tokens)):
        if tokens <= END:
            raise InputError(f"{name} is {tokens!r}; give at least {END + 1}, the end token being one")
    words = one_token_words(tokenizer)
    rng = random.Random(seed)
    queries, positives = (
        random_texts(words, count, tokens - END, rng) for tokens in (query_tokens, positive_tokens)
    )
    return Pairs("synthetic", queries, positives)


def random_texts(words: list[str], count: int, length: int, rng: random.Random) -> list[str]:
    """Return `count` texts of `length` of the `words` each."""
    return [" ".join(rng.choices(words, k=length)) for _ in range(count)]


def one_token_words(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the words of the vocabulary that stay one token, whatever words stand around them."""
    words = {str(tokenizer.decode([number])).strip() for number in range(len(tokenizer))}
    plain = sorted(word for word in words if len(word) > 1 and word.isascii() and word.isalpha())
    encoded = tokenizer(plain, add_special_tokens=False)["input_ids"]
    return [word for word, ids in zip(plain, encoded, strict=True) if len(ids) == 1]
