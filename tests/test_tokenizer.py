"""The tokenizer: lower-cased byte-level BPE whose every text ends with one end token."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mixbench.errors import InputError
from mixbench.models.load import load_model
from mixbench.models.tokenizer import (
    END,
    PAD,
    load_tokenizer,
    read_texts,
    save_tokenizer,
    train_tokenizer,
)

SCRIPTS = {
    "latin": "façade naïve",
    "greek": "αβγ μίγμα",
    "chinese": "混合器",
    "arabic": "مزيج",
    "emoji": "a 😀 👩‍🔬 b",
    "code": "def f(x):return x**2  # t_0",
    "controls": "a\x00b\x7fc",
    "beyond the basic plane": "𝔐𝔦𝔵",
}


@pytest.fixture(scope="module")
def shipped() -> PreTrainedTokenizerFast:
    return load_tokenizer()


def words(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]


def test_the_shipped_tokenizer_has_16384_tokens(shipped: PreTrainedTokenizerFast) -> None:
    assert len(shipped) == shipped.vocab_size == 16_384
    assert (shipped.pad_token, shipped.pad_token_id) == (PAD, 0)
    assert (shipped.eos_token, shipped.eos_token_id) == (END, 1)


def test_case_does_not_matter(shipped: PreTrainedTokenizerFast) -> None:
    assert shipped("Masked MIXERS, ÉCOLE")["input_ids"] == shipped("masked mixers, école")["input_ids"]


def test_white_space_is_folded_and_a_word_is_the_same_token_anywhere(
    shipped: PreTrainedTokenizerFast,
) -> None:
    assert shipped(" \t the\n\n wing\u00a0of ")["input_ids"] == shipped("the wing of")["input_ids"]
    (first, _), (_, second, _) = (shipped(text)["input_ids"] for text in ("wing", "the wing"))
    assert first == second


def test_every_text_ends_with_the_end_token_and_has_it_once(shipped: PreTrainedTokenizerFast) -> None:
    for text in ("", " ", "wing", *SCRIPTS.values()):
        ids = shipped(text)["input_ids"]
        assert ids[-1] == 1
        assert ids.count(1) == 1
        assert 0 not in ids
    assert shipped("")["input_ids"] == [1]


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_any_script_is_read_back_lower_cased_with_single_spaces(
    shipped: PreTrainedTokenizerFast, text: str
) -> None:
    ids = shipped(text)["input_ids"]
    assert shipped.decode(ids, skip_special_tokens=True) == " " + " ".join(text.lower().split())


def test_accents_written_in_two_ways_are_one(shipped: PreTrainedTokenizerFast) -> None:
    assert shipped("cafe\u0301")["input_ids"] == shipped("caf\u00e9")["input_ids"]


def test_common_words_are_one_token(shipped: PreTrainedTokenizerFast) -> None:
    assert words(shipped, "What is the function of it?") == [
        " what", " is", " the", " function", " of", " it", "?", END,
    ]  # fmt: skip


def test_the_same_texts_give_the_same_tokenizer_and_others_another() -> None:
    texts = ["the wing lifts", "the wing drags", "lift and drag"] * 3
    first, again = (train_tokenizer(iter(texts), 300).to_str() for _ in range(2))
    assert first == again
    assert train_tokenizer(texts[1:2] * 9, 300).to_str() != first


def test_a_tokenizer_has_no_more_tokens_than_asked_for_and_knows_every_byte() -> None:
    tokenizer = train_tokenizer(["the wing lifts", "the wing drags"] * 5, 270)
    assert tokenizer.get_vocab_size() == 270
    for text in SCRIPTS.values():
        assert tokenizer.decode(tokenizer.encode(text).ids).strip() == " ".join(text.lower().split())


def test_the_shipped_tokenizer_reads_text_as_one_that_is_trained_now(
    shipped: PreTrainedTokenizerFast,
) -> None:
    kinds = [
        json.loads(tokenizer.to_str())
        for tokenizer in (shipped.backend_tokenizer, train_tokenizer(["wing wing"], 300))
    ]
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"):
        assert kinds[0][part] == kinds[1][part]


def test_a_saved_tokenizer_is_read_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for texts in (["wing wing"] * 4, ["drag drag"] * 4):
        trained = train_tokenizer(texts, 300)
        save_tokenizer(trained, path)
        loaded = load_tokenizer(path)
        assert loaded.get_vocab() == trained.get_vocab()
        assert loaded("wing drag")["input_ids"] == trained.encode("wing drag").ids
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"version": "1.0"', b"\xff\xfe"])
def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a tokenizer") as caught:
        load_tokenizer(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_texts_are_read_by_paragraph_without_document_marks(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n\n<|endoftext|>two <|endoftext|> three\n", encoding="utf-8")
    assert list(read_texts([path])) == ["one", "two   three"]
    path.write_bytes(b"one\ncaf\xe9\n")
    with pytest.raises(InputError, match=r"text\.txt:2: not UTF-8 at byte 4 of the line; save the file"):
        list(read_texts([path]))


def test_a_mark_within_a_text_neither_ends_nor_hides_what_follows(shipped: PreTrainedTokenizerFast) -> None:
    plain = "lift of a wing"
    for mark in (END, PAD):
        ids = shipped(f"{plain} {mark} drag of a plate")["input_ids"]
        before, after = (shipped(part)["input_ids"][:-1] for part in (plain, "drag of a plate"))
        assert ids[: len(before)] == before
        assert ids[-len(after) - 1 :] == [*after, 1]


def test_a_mark_within_a_text_gives_an_embedding_of_the_whole_text() -> None:
    model = load_model("mixer-tiny")
    for mark in (END, PAD):
        texts = [f"{mark} the lift of a wing", f"{mark} protein folding", mark, "wing"]
        embeddings = model.encode(texts)
        assert np.isfinite(embeddings).all()
        similarity = embeddings @ embeddings.T
        assert similarity[0, 1] < 0.9  # what follows the mark is read
        assert similarity[0, 3] > similarity[1, 3]  # and means what it means
        alone = np.concatenate([model.encode([text]) for text in texts])
        np.testing.assert_allclose(embeddings, alone, atol=1e-5)  # and no mark is taken for padding


def test_a_tokenizer_whose_library_panics_at_a_text_is_refused_in_one_line(tmp_path: Path) -> None:
    stated = json.loads(load_tokenizer().backend_tokenizer.to_str())
    stated["post_processor"]["special_tokens"] = {}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(stated))
    with pytest.raises(InputError, match="cannot be read as a tokenizer ") as caught:
        load_tokenizer(path)
    assert type(caught.value.__cause__).__name__ == "PanicException"
