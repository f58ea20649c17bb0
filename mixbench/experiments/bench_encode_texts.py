"""The texts of `mixbench bench encode`: documents of a task, or random words of exactly so many tokens."""

import copy
import random
from collections.abc import Sequence

from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from mixbench.errors import InputError
from mixbench.experiments.evaluating import Places, chosen_tasks, load_split_of
from mixbench.experiments.model_work import count_tokens
from mixbench.experiments.synthetic_pairs import one_token_words, random_texts


def spread_over(texts: Sequence[str], count: int) -> list[str]:
    """Return `count` of `texts`, spread evenly and in their order; all where there are no more."""
    if len(texts) <= count:
        return list(texts)
    return [texts[number * len(texts) // count] for number in range(count)]


def task_texts(selector: str, places: Places, count: int) -> tuple[str, list[str]]:
    """Return the name of a task, and titles and texts of `count` of its documents, spread evenly over all.

    Raises:
        InputError: `selector` stands for several tasks.
        UnknownName: it stands for none.
        MissingData: the data of the task is nowhere.
    """
    tasks = chosen_tasks([selector], places.tasks_dir)
    if len(tasks) > 1:
        raise InputError(f"{selector!r} stands for {len(tasks)} tasks; name one, as {tasks[0].name}")
    data = load_split_of(tasks[0], places, tasks[0].eval_split)
    contents = [document.content for part in data for document in part.corpus]
    return tasks[0].name, spread_over(contents, count)


def synthetic_texts(name: str, model: SentenceTransformer, count: int, tokens: int, seed: int) -> list[str]:
    """Return `count` texts that `model`, called `name`, reads as exactly `tokens` tokens each.

    Tokens that it adds to a text are among them.

    Raises:
        InputError: it reads fewer, or its tokenizer has no words to make such texts of.
    """
    longest = getattr(model, "max_seq_length", None)
    if longest is not None and longest < tokens:
        raise InputError(f"{name} reads at most {longest} tokens; give --tokens {longest} or fewer")
    words = one_token_words(_word_tokenizer(model))
    added = count_tokens(model, words[:1]) - 1 if words else 0
    if tokens <= added:
        raise InputError(f"tokens is {tokens!r}; give at least {added + 1}, of which {name} adds {added}")
    texts = random_texts(words, count, tokens - added, random.Random(seed)) if words else []
    if count_tokens(model, texts) != count * tokens:
        raise InputError(f"the tokenizer of {name} has no words that stay one token; give a task with -t")
    return texts


def _word_tokenizer(model: SentenceTransformer) -> PreTrainedTokenizerFast:
    """Return a copy of the tokenizer, so that its state is not that of the last batch or the next."""
    tokenizer = copy.deepcopy(model.tokenizer)
    if isinstance(tokenizer, Tokenizer):  # that of static embeddings
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]
    return tokenizer  # type: ignore[no-any-return]
