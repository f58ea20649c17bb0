"""The original implementation beside ours: only what its script defines is run, and it trains as it does."""

from pathlib import Path

import pytest
from command import Run, refused

from mixbench.errors import InputError
from mixbench.experiments.bench_lm import LmBenchSettings, bench_lm

SMALL = "tiny[width=32,depth=1,context=16]"
TWIN = "tiny-twin[width=32,depth=1,context=16,feedforward=32]"
SETTINGS = LmBenchSettings(tokens=64, steps=2, rounds=2)
SCRIPT = """
import a_package_that_nobody_has
import torch
from torch import nn

class LanguageMixer(nn.Module):
    def __init__(self, n_vocab, dim, depth):
        super().__init__()
        self.wte = nn.Embedding(n_vocab, dim)
        self.conv = nn.Conv1d(tokenized_length, tokenized_length, 1)
        self.lm_head = nn.Linear(dim, n_vocab, bias=False)

    def forward(self, input_ids, labels=None, **kwargs):
        logits = self.lm_head(self.conv(self.wte(input_ids.to(device))))
        return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits

raise SystemExit("it reads data and trains as it is imported")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "trainer.py"
    path.write_text(SCRIPT)
    return path


def test_its_model_takes_part_in_the_shape_of_the_first(script: Path) -> None:
    report = bench_lm([SMALL], SETTINGS, original=script)
    ours, theirs = report.rows
    assert (theirs.name, len(theirs.seconds)) == ("original", 2)
    assert (theirs.figures["context"], theirs.figures["batch_size"]) == (16, 4)
    assert theirs.figures["parameters"] == 2 * 16_384 * 32 + 16 * 16 + 16
    assert theirs.figures["parameters_without_embedding"] == 16_384 * 32 + 16 * 16 + 16
    assert theirs.figures["forward_flops_per_token"] == 2 * (16 * 32 + 32 * 16_384)
    ratios = [mine / its for mine, its in zip(ours.seconds, theirs.seconds, strict=True)]
    assert report.figures(theirs)["against"][SMALL]["ratio"]["rounds"] == ratios
    note = "original: LanguageMixer of trainer.py by transformers' Trainer, in float16 on a GPU, not compiled"
    assert note in report.notes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("LanguageMixer", "Other"), "defines no LanguageMixer; give mixer_lm/mixer_trainer_fineweb.py"),
        (
            ("import torch\n", "import torch.nowhere\n"),
            r"its definitions fail \(No module named 'torch.nowhere'\); give .*, and install einops",
        ),
        (("import torch\n", "import torch as\n"), r"cannot be read as Python \(invalid syntax"),
    ],
)
def test_a_script_that_does_not_serve_is_refused(script: Path, change: tuple[str, str], says: str) -> None:
    script.write_text(SCRIPT.replace(*change))
    with pytest.raises(InputError, match=says):
        bench_lm([SMALL], SETTINGS, original=script)


def test_a_loss_that_is_not_finite_is_no_training(script: Path) -> None:
    script.write_text(SCRIPT.replace("return nn.", "return torch.nan * nn."))
    report = bench_lm([SMALL], SETTINGS, original=script)
    assert [row.name for row in report.rows] == [SMALL]
    assert any("the mean loss of original is nan" in note for note in report.notes)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (TWIN, r"has the shape of the first model, and tiny-twin.* is no mixer"),
        (
            "tiny[width=32,context=16,groups=4]",
            r"is a flat mixer of expansion 4, and tiny.* another",
        ),
        (
            "tiny[width=32,context=16,expansion=2]",
            r"is a flat mixer of expansion 4, and tiny.* another",
        ),
    ],
)
def test_the_first_is_to_be_of_its_kind(script: Path, first: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        bench_lm([first], SETTINGS, original=script)


def test_the_command_says_what_is_wrong_with_a_path(run: Run) -> None:
    refused(run("bench", "lm", SMALL, "--original", "nowhere.py"), "nowhere.py: cannot be read as Python")
