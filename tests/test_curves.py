"""`mixbench curves`: language models at equal tokens, operations and seconds."""

import json
from pathlib import Path

import pytest
from command import Run, refused
from tiny_language import write_text

from mixbench.experiments.curves import compare, last_crossing
from mixbench.experiments.curves_plot import curves_svg

SMALL = ("--set", "width=64", "--set", "depth=1", "--set", "context=16")
STEPS = ("--max-steps", "4", "--batch-size", "2", "--eval-every", "2")


def curve(*points: tuple[float, float], pace: float = 1) -> list[dict[str, float]]:
    """A curve of (tokens, loss), at `pace` tokens a second."""
    return [
        {"tokens": tokens, "flops": 6 * tokens, "seconds": tokens / pace, "loss": loss}
        for tokens, loss in points
    ]


def test_curves_are_compared_where_the_shorter_ends_and_cross_between_points() -> None:
    slow = {"model": "slow", "curve": curve((0, 9), (10, 6), (20, 4), pace=0.5)}
    fast = {"model": "fast", "curve": curve((0, 9), (10, 5), (20, 4.5))}
    pair = compare(slow, fast, "tokens")
    assert (pair.at, pair.a_loss, pair.b_loss) == (20, 4, 4.5)
    assert pair.crossing == pytest.approx(10 + 10 / 1.5)
    pair = compare(slow, fast, "seconds")  # when the fast one has ended, the slow one has read 10 tokens
    assert (pair.at, pair.a_loss, pair.b_loss, pair.crossing) == (20, 6, 4.5, None)


def test_the_last_of_several_crossings_counts_and_touching_is_none() -> None:
    flat = curve((0, 5), (40, 5))
    assert last_crossing(curve((0, 6), (10, 4), (20, 6), (30, 4), (40, 4)), flat, "tokens") == 25
    assert last_crossing(curve((0, 6), (10, 5), (20, 6)), flat, "tokens") is None
    assert last_crossing(curve((0, 6), (10, 5), (20, 4)), flat, "tokens") == 10
    assert last_crossing(flat, flat, "tokens") is None


def test_pretrained_models_are_compared_by_what_their_records_say(run: Run, tmp_path: Path) -> None:
    write_text(tmp_path / "things.txt", "\n<|endoftext|>\n")
    (tmp_path / "things.txt").write_text(20 * (tmp_path / "things.txt").read_text())
    for base in ("tiny", "tiny-twin"):
        made = run("pretrain", base, *SMALL, *STEPS, "--text", "../things.txt", "-o", f"lm/{base}")
        assert made.status == 0, made.err
    ended = run("curves", "tiny", "tiny-twin", "--records", "lm", "-o", "c.json", "--plot", "c.svg")
    assert ended.status == 0, ended.err
    assert "tiny-twin" in ended.out
    report = json.loads(Path("c.json").read_text())
    mixer, twin = report["models"]
    record = json.loads(Path("lm/tiny/mixbench.json").read_text())
    assert mixer["parameters"] == record["parameters"]
    weights = 64 * 16_384 + 2 * 4 * 64 * 64 + 16 * 64  # of the logits, the feedforward and token mixing
    assert mixer["train_flops_per_token"] == 3 * 2 * weights
    assert twin["train_flops_per_token"] > mixer["train_flops_per_token"]
    assert [point["flops"] for point in mixer["curve"]] == [6 * weights * tokens for tokens in (0, 64, 128)]
    by_axis = {pair["axis"]: pair for pair in report["pairs"]}
    assert list(by_axis) == ["tokens", "flops", "seconds"]
    assert by_axis["tokens"]["at"] == record["tokens_seen"] == 128
    assert by_axis["tokens"]["a_loss"] == record["validation_loss"][-1][1]
    assert by_axis["flops"]["at"] == mixer["curve"][-1]["flops"]
    assert Path("c.svg").read_text().count("<polyline") == 6


def test_what_cannot_be_compared_is_one_line(run: Run) -> None:
    for name, changed in {
        "own": {"base": "my-folder"},
        "auto": {"config": {"objective": "autoencoder"}},
        "tuned": {"validation_curve": None},
    }.items():
        record = {"base": "tiny", "config": {}, "validation_curve": curve((0, 9), (10, 5)), **changed}
        Path("lm", name).mkdir(parents=True)
        Path("lm", name, "mixbench.json").write_text(json.dumps(record))
    refused(
        run("curves", "own", "auto", "--records", "lm"),
        "own/mixbench.json: its operations cannot be",
        "my-folder",
    )
    refused(
        run("curves", "auto", "own", "--records", "lm"),
        "auto/mixbench.json: an autoencoder; give language models",
    )
    refused(run("curves", "tuned", "own", "--records", "lm"), "no record of pretraining")
    refused(run("curves", "own", "own", "--records", "lm"), "1 different models of 2; give at least 2")
    refused(
        run("curves", "absent", "own"),
        "absent/mixbench.json: no such record; give folders",
    )
    refused(run("curves", "own", "auto", "--axis", "steps"), "unknown axis 'steps'", "tokens")


def test_a_chart_stays_inside_also_where_all_points_are_one() -> None:
    chart = curves_svg([{"model": "m<1>", "curve": curve((0, 9))}], ["tokens"])
    assert "m&lt;1&gt;" in chart
    assert "nan" not in chart
