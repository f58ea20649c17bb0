"""Hard negatives: what a batch is compared with, what never is, and runs that resume exactly."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from test_training import COLOURS, THINGS, largest_difference, synthetic, words
from torch.nn.functional import cross_entropy, normalize

from mixbench.data.pairs import Pairs, PairSource, hold_out
from mixbench.errors import InputError
from mixbench.training.batches import OneSourceBatches
from mixbench.training.collating import Collator, embed
from mixbench.training.config import TrainConfig
from mixbench.training.contrastive import Origin, train_retriever
from mixbench.training.hard_negatives import HELD_OUT, HardNegatives, without_dev_passages
from mixbench.training.objective import Objective, build_loss, check_loss

SMALL = Pairs(
    "small",
    ["q0", "q1", "q2", "Q0"],
    ["p0", "p1", "p2", "other answer of q0"],
    [("n", "p1", "Other  answer of q0"), ("N", "q0", "far"), (), ("a", "b", "c", "d")],
)


def drawn(pairs: Pairs, rows: list[int], count: int, seed: int = 0, epoch: int = 0) -> list[str]:
    batches = OneSourceBatches([pairs], 2, seed)
    batches.set_epoch(epoch)
    negatives = HardNegatives([pairs], batches, count)
    return [negatives.texts[number - len(pairs)] for number in negatives.draw(rows)]


def mined() -> Pairs:
    """Each passage's negatives: those of the same colour, and so of one word in common."""
    pairs = synthetic()
    negatives = [
        tuple(f"{colour} {other}".upper() for other in THINGS if other != thing)
        for colour in COLOURS
        for thing in THINGS
    ]
    return replace(pairs, negatives=negatives)


def train(output, pairs=None, resume=False, **changes):
    kept, dev = hold_out(pairs or mined(), 8, seed=1)
    settings = {"batch_size": 8, "max_steps": 6, "eval_every": 2, "learning_rate": 0.05, "seed": 3}
    config = TrainConfig(**settings | {"hard_negatives": 2} | changes)
    train_retriever(
        words(), [PairSource(pairs=kept)], config, output,
        origin=Origin(base="words"), dev=[dev], progress=False, resume=resume,
    )  # fmt: skip
    return load_file(output / "model.safetensors"), json.loads((output / "mixbench.json").read_text())


def test_a_match_of_any_query_in_the_batch_is_dropped_and_no_text_stands_twice():
    # "n" and "N" are one text; p1 is in the batch; "other answer of q0" and q0 itself match q0.
    assert drawn(SMALL, [0, 1], 9) == ["n", "far"]
    # Without q1 in it p1 may be a negative, and without q0 the text of q0 may be one.
    assert drawn(SMALL, [0, 2], 9) == ["n", "p1"]
    assert drawn(SMALL, [1, 2], 9) == ["n", "q0", "far"]
    assert drawn(SMALL, [2], 9) == []


def test_a_draw_follows_from_seed_epoch_and_row():
    draws = {(seed, epoch): drawn(SMALL, [3], 2, seed, epoch) for seed in range(4) for epoch in range(4)}
    assert all(len(set(texts)) == 2 and set(texts) < set("abcd") for texts in draws.values())
    assert len({tuple(draws[0, epoch]) for epoch in range(4)}) > 1
    assert len({tuple(draws[seed, 0]) for seed in range(4)}) > 1
    assert drawn(SMALL, [2, 3], 2, 1, 2) == draws[1, 2]


def test_the_loss_of_two_queries_three_passages_and_a_teacherless_run_is_worked_by_hand():
    axes = torch.eye(3)
    config = TrainConfig(temperature=1.0, hard_negatives=1)
    queries, passages, rows = axes[:2], torch.stack([axes[0], axes[1], axes[0]]), torch.arange(2)
    # Scores: 1, 0, 1 of the first query and 0, 1, 0 of the second.
    e = torch.tensor(1.0).exp()
    first, second = -(e / (2 * e + 1)).log(), -(e / (e + 2)).log()
    loss = Objective(words(), config, None)
    assert loss.of([queries, passages], rows).item() == pytest.approx(((first + second) / 2).item())
    # From passage to query: 1, 0 and 0, 1; the negative has no query.
    backward = -(e / (e + 1)).log()
    both = Objective(words(), replace(config, both_directions=True), None)
    expected = ((first + second) / 2 + backward) / 2
    assert both.of([queries, passages], rows).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("mini_batch_size", [None, 3])
@pytest.mark.parametrize("widths", [(), (4,)])
def test_whole_and_in_mini_batches_the_loss_is_that_over_positives_and_negatives(mini_batch_size, widths):
    model = words()
    model[0].dropout.p = 0.0
    pairs = mined()
    negatives = HardNegatives([pairs], OneSourceBatches([pairs], 4, 0), 1)
    columns = {"query": pairs.queries, "positive": [*pairs.positives, *negatives.texts]}
    rows, whole = [0, 6, 12, 18], mini_batch_size is not None
    collator = Collator(model, columns, {}, whole=whole, further=negatives.draw)
    made = collator([{"row": row} for row in rows])
    queries, passages = (embed(model, column) for column in made["columns"])
    assert (len(queries), len(passages)) == (4, 8)
    expected = sum(
        cross_entropy(
            normalize(queries[:, :width], dim=1) @ normalize(passages[:, :width], dim=1).T / 0.05,
            torch.arange(4),
        )
        for width in (*widths, 16)
    )
    expected.backward()
    gradient = model[0].vectors.weight.grad.clone()
    model.zero_grad()
    config = TrainConfig(mini_batch_size=mini_batch_size, hard_negatives=1, matryoshka=widths)
    loss = build_loss(model, config, None)(made["columns"], made["rows"])
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-4)
    assert torch.allclose(model[0].vectors.weight.grad, gradient, atol=1e-4)


def test_a_run_with_negatives_stopped_after_every_step_equals_a_straight_one(tmp_path):
    straight, record = train(tmp_path / "straight")
    train(tmp_path / "steps", max_minutes=1e-9)
    for _ in range(5):
        resumed, _ = train(tmp_path / "steps", resume=True, max_minutes=1e-9)
    assert largest_difference(straight, resumed) == 0.0
    assert record["config"]["hard_negatives"] == 2
    without, _ = train(tmp_path / "without", hard_negatives=0)
    assert largest_difference(straight, without) > 1e-3


def test_a_passage_held_out_for_dev_is_never_a_negative_and_is_counted(tmp_path):
    dev = Pairs("dev", ["q"], ["Held  out"])
    source = PairSource(pairs=replace(SMALL, negatives=[("held out", "n"), ("HELD OUT",), (), ("a",)]))
    (cleaned,) = without_dev_passages([source], [dev])
    assert cleaned.pairs.negatives == [("n",), (), (), ("a",)]
    assert cleaned.excluded == {HELD_OUT: 2}
    assert cleaned.read_sha256 == source.pairs.sha256
    kept, held = hold_out(mined(), 8, seed=1)
    count = sum(text in held.positives for texts in kept.negatives for text in texts)
    assert count > 0
    _, record = train(tmp_path / "out")
    assert record["sources"][0]["excluded"] == {HELD_OUT: count}


def test_a_run_in_which_no_pair_has_negatives_is_refused(tmp_path):
    with pytest.raises(InputError, match="hard negatives: no pair has any; mine some"):
        train(tmp_path / "out", synthetic())
    config = TrainConfig(hard_negatives=1, infonce_weight=0)
    with pytest.raises(InputError, match="hard_negatives serve InfoNCE alone, and infonce_weight is 0"):
        check_loss(words(), config, taught=True)
    with pytest.raises(InputError, match="hard_negatives must be at least 0, not -1"):
        TrainConfig(hard_negatives=-1)
