"""What training stands on: batches for in-batch negatives, settings in range, the dev score."""

import pytest

from mixbench.data.pairs import Pairs, normalise
from mixbench.errors import InputError
from mixbench.training.batches import OneSourceBatches
from mixbench.training.config import TrainConfig
from mixbench.training.dev import dev_evaluator


def distinct(name: str = "distinct") -> Pairs:
    return Pairs(name, [f"question {i}" for i in range(40)], [f"answer {i}" for i in range(40)])


def repeated() -> Pairs:
    """240 pairs over 41 passages spelt in two ways, about six questions each; some have two answers."""
    rows = [
        (f"question {i % 200}", f"passage  {i % 41}" if i % 3 else f"Passage {i % 41}") for i in range(240)
    ]
    return Pairs("repeated", [query for query, _ in rows], [positive for _, positive in rows])


def test_no_batch_holds_a_passage_twice_or_a_query_beside_another_of_its_answers():
    pairs = repeated()
    answers: dict[str, set[str]] = {}
    for query, positive in zip(pairs.queries, pairs.positives, strict=True):
        answers.setdefault(query, set()).add(normalise(positive))
    batches = OneSourceBatches([pairs], 24, seed=0)
    for epoch in range(3):
        batches.set_epoch(epoch)
        for batch in batches:
            passages = [normalise(pairs.positives[row]) for row in batch]
            assert len(passages) == len(set(passages)) == 24
            for row, own in zip(batch, passages, strict=True):
                assert answers[pairs.queries[row]] & set(passages) == {own}


def test_a_batch_comes_from_one_source_and_each_source_by_its_size():
    first, second, third = distinct(), repeated(), Pairs("c", ["x", "y", "z"], ["1", "2", "3"])
    batches = OneSourceBatches([first, second, third], 8, seed=0)
    drawn = list(batches)
    assert len(drawn) == len(batches) == 40 // 8 + 240 // 8 + 1
    owners = [{0 if row < 40 else 1 if row < 280 else 2 for row in batch} for batch in drawn]
    assert all(len(owner) == 1 for owner in owners)
    assert [sum(owner == {n} for owner in owners) for n in range(3)] == [5, 30, 1]
    assert sorted(row for batch in drawn for row in batch if row < 40) == list(range(40))
    assert owners != sorted(owners, key=min)


def test_epochs_differ_and_are_fixed_by_the_seed():
    def epoch(number: int, seed: int) -> list[list[int]]:
        batches = OneSourceBatches([distinct()], 8, seed)
        batches.set_epoch(number)
        return list(batches)

    assert epoch(0, 0) == epoch(0, 0)
    assert epoch(0, 0) != epoch(1, 0)
    assert epoch(0, 0) != epoch(0, 1)


def test_the_dev_pool_knows_every_answer_and_adds_training_passages_as_distractors():
    dev = Pairs("dev", ["q1", "q2"], ["answer one", "answer two"])
    train_pairs = Pairs("train", ["Q1", "q3"], ["another answer", "ANSWER two"])
    evaluator = dev_evaluator([dev], [train_pairs], seed=0)
    assert set(evaluator.corpus_ids) == {"answer one", "answer two", "another answer"}
    assert evaluator.relevant_docs == {"q1": {"answer one", "another answer"}, "q2": {"answer two"}}


def test_a_source_that_fills_no_batch_is_refused():
    same = Pairs("same", ["a", "b"], ["one passage", "One  passage"])
    with pytest.raises(InputError, match="same: no two of its pairs may share a batch"):
        OneSourceBatches([distinct(), same], 8, seed=0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", 0),
        ("learning_rate", float("nan")),
        ("batch_size", 1),
        ("max_steps", 0),
        ("max_minutes", -1),
        ("warmup_ratio", 1.0),
        ("precision", "fp16"),
        ("seed", -1),
    ],
)
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(InputError, match=f"{setting} must .*not "):
        TrainConfig(**{setting: value})
