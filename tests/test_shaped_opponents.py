"""Opponents and language models of other sizes than a preset's: `--set` on transformers and on pretrain."""

import json
from pathlib import Path

import pytest
from command import Run, refused
from tiny_language import DOCUMENTS

from mixbench.models import build_model


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "things.txt").write_text("\n<|endoftext|>\n".join(DOCUMENTS))
    return "../things.txt"


@pytest.mark.parametrize(
    ("base", "settings", "stated"),
    [
        (
            "tiny-twin",
            ["width=64", "depth=1", "context=16", "feedforward=96", "heads=4"],
            {"hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 96, "num_attention_heads": 4},
        ),
        ("tiny-gpt", ["width=32", "depth=1", "context=16"], {"n_embd": 32, "n_layer": 1, "n_head": 1}),
        ("tiny", ["width=32", "depth=1", "context=16", "kernel=2"], {"width": 32, "kernel": 2}),
    ],
)
def test_a_language_model_has_the_sizes_that_are_set(
    run: Run, text: str, base: str, settings: list[str], stated: dict[str, int]
) -> None:
    changes = [part for setting in settings for part in ("--set", setting)]
    ended = run("pretrain", base, *changes, "-o", "lm", "--text", text, "--max-steps", 1, "--batch-size", 2)
    assert (ended.status, ended.out) == (0, "lm\n"), ended.err
    record = json.loads(Path("lm/mixbench.json").read_text())
    assert record["base"] == f"{base}[{','.join(sorted(settings))}]"
    found = Path("lm/mixer_config.json" if base == "tiny" else "lm/config.json")
    assert stated.items() <= json.loads(found.read_text()).items()


def test_heads_change_no_parameter_and_every_output() -> None:
    small = {"width": 64, "depth": 1, "context": 16}
    one, four = (build_model("tiny-twin", changes={**small, "heads": heads}) for heads in (1, 4))
    sizes = [sum(each.numel() for each in model.parameters()) for model in (one, four)]
    assert sizes[0] == sizes[1]
    texts = ["the red cat", "a boat"]
    assert abs(one.encode(texts) - four.encode(texts)).max() > 1e-3


@pytest.mark.parametrize(
    ("base", "setting", "message"),
    [
        ("tiny-twin", "groups=4", "it is no mixer and has no groups to set"),
        ("tiny-twin", "heads=3", "heads must cut the width, 256, into even parts, not 3"),
        ("tiny-twin", "depth=0", "depth must be at least 1, not 0"),
        ("tiny", "feedforward=64", "feedforward is a field of transformers"),
        ("tiny-static", "width=64", "it is no mixer and has no width to set"),
        ("mixer-tiny", "depth=2", "--set changes presets, and 'mixer-tiny' is none; leave it out"),
    ],
)
def test_a_size_that_cannot_be_is_one_line_and_nothing_is_written(
    run: Run, text: str, base: str, setting: str, message: str
) -> None:
    refused(run("pretrain", base, "--set", setting, "-o", "out", "--text", text), message)
