"""Beside the teacher: both directions, nested widths, the moving average, the schedule."""

import pytest
import torch
from safetensors.torch import load_file
from test_training import largest_difference, synthetic, train, words
from torch.nn.functional import cross_entropy, normalize

from mixbench.data.pairs import PairSource, hold_out
from mixbench.errors import InputError
from mixbench.training.averaging import WeightAverage
from mixbench.training.collating import Collator
from mixbench.training.config import TrainConfig, read_widths
from mixbench.training.contrastive import Origin, train_retriever
from mixbench.training.dev import METRIC, dev_evaluator
from mixbench.training.objective import build_loss

PAIRS = synthetic().take(range(0, 40, 6))


def batch(model, whole: bool):
    columns = {"query": PAIRS.queries, "positive": PAIRS.positives}
    made = Collator(model, columns, {}, whole=whole)([{"row": row} for row in range(len(PAIRS))])
    return made["columns"], made["rows"]


def still():
    model = words()
    model[0].dropout.p = 0.0
    return model


def expected_loss(model, width: int, both: bool) -> torch.Tensor:
    """InfoNCE at temperature 0.05 of the first `width` dimensions, written out."""
    columns = [model[0].preprocess(texts) for texts in (PAIRS.queries, PAIRS.positives)]
    queries, positives = (normalize(model(f)["sentence_embedding"][:, :width], dim=1) for f in columns)
    scores = queries @ positives.T / 0.05
    matches = torch.arange(len(scores))
    forward, backward = cross_entropy(scores, matches), cross_entropy(scores.T, matches)
    return (forward + backward) / 2 if both else forward


@pytest.mark.parametrize("mini_batch_size", [None, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("widths", [(), (4, 9)])
def test_the_loss_is_that_of_each_direction_and_width(mini_batch_size, both, widths):
    model = still()
    config = TrainConfig(mini_batch_size=mini_batch_size, both_directions=both, matryoshka=widths)
    loss = build_loss(model, config, None)(*batch(model, whole=mini_batch_size is not None))
    expected = sum(expected_loss(model, width, both) for width in (*widths, 16))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-4)
    loss.backward()
    gradient = model[0].vectors.weight.grad.clone()
    model.zero_grad()
    expected.backward()
    assert torch.allclose(gradient, model[0].vectors.weight.grad, atol=1e-4)


def test_a_width_above_the_models_dimension_is_refused(tmp_path):
    with pytest.raises(InputError, match="matryoshka: 17 is more than the model's 16 dimensions"):
        train(tmp_path / "out", matryoshka=(4, 17))
    assert list(tmp_path.iterdir()) == []


def test_widths_are_read_from_numbers_with_commas():
    assert (read_widths("64,128"), read_widths(None)) == ((64, 128), ())
    with pytest.raises(InputError, match="matryoshka '64;128': give whole numbers with commas"):
        read_widths("64;128")


def test_the_average_follows_the_weights_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = WeightAverage(model, 0.25)
    model.weight.data.fill_(11.0)
    average.update(1)  # 2 / 11 of the average is kept, below the decay
    assert average.weights["weight"].item() == pytest.approx(9.0)
    model.weight.data.fill_(1.0)
    average.update(2)  # 3 / 12 is kept
    assert average.weights["weight"].item() == pytest.approx(3.0)
    average.update(100)  # 101 / 110 is above the decay of 0.25
    assert average.weights["weight"].item() == pytest.approx(1.5)
    with average.installed():
        assert model.weight.item() == pytest.approx(1.5)
    assert model.weight.item() == 1.0


def test_what_is_published_is_the_average_of_the_weights_after_each_step(tmp_path):
    source, config = (
        PairSource(pairs=synthetic()),
        TrainConfig(
            batch_size=8, max_steps=4, learning_rate=0.2, average=0.25, max_minutes=1e-9, warmup_ratio=0
        ),
    )
    mean, (name,) = words()[0].state_dict(), words()[0].state_dict()
    for step in range(1, 5):
        out = train_retriever(
            words(), [source], config, tmp_path / "out",
            origin=Origin(base="words"), resume=step > 1, progress=False,
        )  # fmt: skip
        if step < 4:  # a finished run has no checkpoints
            live = load_file(tmp_path / f".out.training/checkpoint-{step}/weights.safetensors")[f"0.{name}"]
            kept = min(0.25, (1 + step) / (10 + step))
            mean[name] = kept * mean[name] + (1 - kept) * live
            published = load_file(out / "model.safetensors")
            assert torch.allclose(published[name], mean[name], atol=1e-6)
            assert (live - mean[name]).abs().max() > 1e-3


def test_the_dev_score_is_that_of_the_average(tmp_path):
    model, settings = words(), {"max_steps": 12, "eval_every": 4, "learning_rate": 0.1}
    _, record = train(tmp_path / "mean", model, average=0.95, **settings)
    kept, dev = hold_out(synthetic(), 8, seed=1)
    scores = dict(record["dev_ndcg_at_10"])
    best = record["best_step"]
    assert dev_evaluator([dev], [kept], 3)(model)[METRIC] == pytest.approx(scores[best], abs=1e-5)
    _, live = train(tmp_path / "live", **settings)
    assert record["loss"] == live["loss"]  # training itself is left alone
    assert scores != dict(live["dev_ndcg_at_10"])


def test_a_cosine_schedule_is_another_run_than_a_linear_one(tmp_path):
    linear, _ = train(tmp_path / "linear", max_steps=4)
    cosine, _ = train(tmp_path / "cosine", max_steps=4, schedule="cosine")
    assert largest_difference(linear, cosine) > 1e-4


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("schedule", "step"),
        ("average", 1.0),
        ("average", 0.0),
        ("infonce_weight", -1),
        ("teacher_weight", 0),
        ("matryoshka", (8, 8)),
        ("matryoshka", (0,)),
    ],
)
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(InputError, match=f"{setting} must .*not "):
        TrainConfig(**{setting: value})
