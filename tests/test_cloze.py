"""Pairs out of plain text: how passages are cut, what asks for them, and what is refused."""

import gzip
import json

import pytest

from mixbench.data.cloze import AIM, LEAST_WORDS, MOST_WORDS, cloze_pairs, passages
from mixbench.errors import InputError


def text(first: int, sentences: int, words: int = 10) -> str:
    """Sentences of so many words, each word different."""
    return " ".join(" ".join(f"w{first + s}x{w}" for w in range(words)) + "." for s in range(sentences))


def test_passages_are_whole_sentences_that_end_at_the_aim():
    cut = list(passages(text(0, 30)))
    assert [len(passage) for passage in cut] == [12, 12, 6]
    assert " ".join(sentence for passage in cut for sentence in passage) == text(0, 30)
    assert AIM == 120


def test_a_rest_too_short_a_sentence_too_long_and_a_lone_sentence_are_dropped():
    assert [len(passage) for passage in passages(text(0, 17))] == [12]  # 50 words are left
    assert list(passages(text(0, 2, MOST_WORDS + 1))) == []
    assert list(passages(text(0, 1, LEAST_WORDS))) == []
    # 110 words, then 150: together too many, so each starts a passage, and the second is one sentence.
    assert [len(passage) for passage in passages(text(0, 11) + " " + text(50, 1, 150))] == [11]


def test_a_query_is_a_sentence_of_its_passage_and_the_positive_is_the_rest(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(text(0, 24) + "<|endoftext|>" + text(100, 12) + "\n<|endoftext|>\n" + text(200, 3))
    pairs = cloze_pairs(path, seed=0)
    assert (pairs.name, len(pairs)) == ("book", 3)
    wholes = [" ".join(passage) for each in (text(0, 24), text(100, 12)) for passage in passages(each)]
    for query, positive, whole in zip(pairs.queries, pairs.positives, wholes, strict=True):
        assert query not in positive
        assert sorted((query + " " + positive).split()) == sorted(whole.split())


def test_the_seed_chooses_the_sentences_and_the_limit_a_sample_in_order(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("<|endoftext|>".join(text(100 * n, 12) for n in range(20)))
    first, again, other = (cloze_pairs(path, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.queries != other.queries
    few = cloze_pairs(path, 0, most=5)
    assert len(few) == 5
    order = [first.queries.index(query) if query in first.queries else -1 for query in few.queries]
    numbers = [int(query.split("x")[0][1:]) // 100 for query in few.queries]
    assert numbers == sorted(numbers)
    assert max(numbers) > 4, order


def test_text_is_read_from_jsonl_and_compressed(tmp_path):
    documents = [text(0, 12), text(100, 12)]
    plain, lines = tmp_path / "a.txt.gz", tmp_path / "b.jsonl"
    with gzip.open(plain, "wt") as stream:
        stream.write("<|endoftext|>\n".join(documents))
    lines.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    one, two = cloze_pairs(plain, 0), cloze_pairs(lines, 0)
    assert (one.name, two.name) == ("a", "b")
    assert one.positives == two.positives


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "too short.", r"a\.txt: holds 0 passages of 60 to 200 words; give more text"),
        ("a.jsonl", '{"text": "x"}\n{"body": 1}\n', r"a\.jsonl:2: no 'text' and no 'positive'"),
        ("a.jsonl", "{\n", r"a\.jsonl:1: not JSON"),
    ],
)
def test_text_that_gives_no_pairs_is_refused(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=problem):
        cloze_pairs(tmp_path / name, 0)
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read"):
        cloze_pairs(tmp_path / "absent.txt", 0)
