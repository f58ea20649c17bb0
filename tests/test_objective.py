"""Beside the teacher: both directions, nested widths, the moving average, the schedule."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_training import largest_difference, synthetic, train, words
from torch.nn.functional import cross_entropy, normalize

from mixbench.errors import InputError
from mixbench.training.averaging import WeightAverage
from mixbench.training.config import TrainConfig, read_widths
from mixbench.training.objective import build_loss


def batch(model):
    pairs = synthetic().take(range(0, 40, 6))
    return [model[0].preprocess(texts) for texts in (pairs.queries, pairs.positives)]


def still():
    model = words()
    model[0].dropout.p = 0.0
    return model


def expected_loss(model, width: int, both: bool) -> torch.Tensor:
    """InfoNCE at temperature 0.05 of the first `width` dimensions, written out."""
    queries, positives = (normalize(model(f)["sentence_embedding"][:, :width], dim=1) for f in batch(model))
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
    loss = build_loss(model, config, None)(batch(model), torch.zeros(0))
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


def test_the_average_is_scored_and_published_and_the_trained_weights_are_kept_apart(tmp_path):
    live, _ = train(tmp_path / "live", max_steps=12, eval_every=12)
    published, record = train(tmp_path / "mean", max_steps=12, eval_every=4, average=0.99, max_minutes=1e-9)
    for _ in range(3):
        train(tmp_path / "mean", max_steps=12, eval_every=4, average=0.99, max_minutes=1e-9, resume=True)
    (newest,) = tmp_path.glob(".mean.training/checkpoint-4")
    kept, mean = load_file(newest / "weights.safetensors"), load_file(newest / "average.safetensors")
    assert largest_difference(kept, mean) > 1e-3
    published, record = train(tmp_path / "mean", max_steps=12, eval_every=4, average=0.99, resume=True)
    straight, again = train(tmp_path / "straight", max_steps=12, eval_every=4, average=0.99)
    assert largest_difference(published, straight) == 0.0
    assert largest_difference(published, live) > 1e-3
    assert record["dev_ndcg_at_10"] == again["dev_ndcg_at_10"]
    assert json.loads((tmp_path / "straight" / "mixbench.json").read_text())["config"]["average"] == 0.99


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
