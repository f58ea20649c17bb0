"""Variants of the mixer: what each mixes, its mask, padding, sizes and presets."""

from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from small_variants import CONTEXT, SHAPES, TEXTS, WIDTH, make
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from mixbench.models import VARIANTS, build_model
from mixbench.models.build import build_mixer_encoder
from mixbench.models.mixer import MixerConfig
from mixbench.models.token_mixing import GroupedMixing, KernelMixing, TokenMixing
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from mixbench.retrievers.flops import count_flops

KEEP = 5
CAUSAL = ["groups", "heads", "kernel", "transfixer"]
BLIND = ["unmasked", "unmasked-groups", "unmasked-transfixer"]
ALIGNMENTS = ["left", "right"]
CHANNELS = 8 * WIDTH * WIDTH + 5 * WIDTH + 2 * WIDTH
MATRIX = CONTEXT * CONTEXT + CONTEXT


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    save_tokenizer(train_tokenizer(2 * TEXTS, 400), path)
    return load_tokenizer(path)


def states(model: SentenceTransformer, ids_BT: Tensor) -> Tensor:
    with torch.inference_mode():
        features = model[0]({"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)})
    found: Tensor = features["token_embeddings"]
    return found


def changes_from(model: SentenceTransformer, tokens: int, first: int, last: int) -> list[float]:
    """Return how much each state changes where the tokens from `first` to before `last` become others."""
    generator = torch.manual_seed(0)
    ids_BT = torch.randint(2, len(model.tokenizer), (4, tokens), generator=generator)
    noise_BT = ids_BT.clone()
    # Below the vocabulary of any tokenizer here, and never what stood there.
    noise_BT[:, first:last] = (ids_BT[:, first:last] - 2 + 101) % 200 + 2
    assert (noise_BT != ids_BT)[:, first:last].all()
    difference_BTd = (states(model, ids_BT) - states(model, noise_BT)).abs()
    return [float(value) for value in difference_BTd.amax((0, 2))]


# What sees what


@pytest.mark.parametrize("tokens", [CONTEXT, 9])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("shape", CAUSAL)
def test_no_state_of_a_causal_variant_depends_on_later_tokens(
    tokenizer: PreTrainedTokenizerFast, shape: str, alignment: str, tokens: int
) -> None:
    changes = changes_from(make(tokenizer, shape, alignment), tokens, KEEP, tokens)
    assert max(changes[:KEEP]) <= 1e-6
    assert min(changes[KEEP:]) > 1e-3


@pytest.mark.parametrize("shape", [*CAUSAL, *BLIND])
def test_every_later_state_depends_on_the_first_token(tokenizer: PreTrainedTokenizerFast, shape: str) -> None:
    assert min(changes_from(make(tokenizer, shape), CONTEXT, 0, 1)) > 1e-4


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("shape", BLIND)
def test_without_the_mask_earlier_states_depend_on_later_tokens(
    tokenizer: PreTrainedTokenizerFast, shape: str, alignment: str
) -> None:
    assert min(changes_from(make(tokenizer, shape, alignment), CONTEXT, KEEP, CONTEXT)) > 1e-4


def test_without_token_mixing_a_state_depends_on_its_own_token_alone(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    changes = changes_from(make(tokenizer, "identity"), CONTEXT, 3, 4)
    assert changes[3] > 1e-3
    assert max(changes[:3] + changes[4:]) == 0.0


def test_attention_alone_obeys_the_mask_and_the_padding(tokenizer: PreTrainedTokenizerFast) -> None:
    attention = make(tokenizer, "transfixer")[0].blocks[1].attention
    x_BTd = torch.randn(1, 6, WIDTH, generator=torch.manual_seed(1))
    text_BT1 = torch.tensor([0.0, 0, 1, 1, 1, 1])[None, :, None]
    before = attention(x_BTd, text_BT1).detach()
    other_BTd = x_BTd.clone()
    other_BTd[:, [0, 1, 5]] += torch.randn(1, 3, WIDTH, generator=torch.manual_seed(2))
    change_T = (attention(other_BTd, text_BT1).detach() - before).abs().amax((0, 2))
    assert float(change_T[2:5].max()) <= 1e-6
    assert float(change_T[5]) > 1e-3


# What is computed


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_each_group_is_mixed_by_its_own_matrix(alignment: str) -> None:
    torch.manual_seed(0)
    mixing = GroupedMixing(5, alignment, 2)
    x_BTd = torch.randn(3, 4, 6)
    for group in range(2):
        flat = TokenMixing(5, alignment)
        flat.load_state_dict({"weight": mixing.weight[group], "bias": mixing.bias[group]})
        channels = slice(3 * group, 3 * group + 3)
        torch.testing.assert_close(mixing(x_BTd)[..., channels], flat(x_BTd[..., channels]))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_each_tap_of_a_kernel_reads_the_channel_that_it_names(kernel: int) -> None:
    torch.manual_seed(0)
    mixing = KernelMixing(5, "right", kernel)
    x_BTd = torch.randn(3, 5, 6)
    expected_BTd = mixing.bias[:, None].expand(3, 5, 6).clone()
    for tap in range(kernel):
        for channel in range(6):
            read = channel + tap - (kernel - 1) // 2
            if 0 <= read < 6:
                expected_BTd[..., channel] += x_BTd[..., read] @ mixing.weight[tap].tril().T
    torch.testing.assert_close(mixing(x_BTd), expected_BTd)


@pytest.mark.parametrize("shape", ["groups", "heads", "kernel", "unmasked"])
def test_matrices_start_within_one_over_the_root_of_the_context(
    tokenizer: PreTrainedTokenizerFast, shape: str
) -> None:
    (mixing,) = (
        part for part in make(tokenizer, shape)[0].blocks[0].modules() if isinstance(part, TokenMixing)
    )
    bound = CONTEXT**-0.5
    assert 0.9 * bound < float(mixing.weight.detach().abs().max()) <= bound
    assert float(mixing.bias.detach().abs().max()) <= bound


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gradient_reaches_every_parameter_and_none_the_masked_weights(
    tokenizer: PreTrainedTokenizerFast, shape: str
) -> None:
    model = make(tokenizer, shape)
    ids_BT = torch.randint(2, 200, (3, CONTEXT), generator=torch.manual_seed(0))
    features = model[0]({"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)})
    noise = torch.randn(3, CONTEXT, WIDTH, generator=torch.manual_seed(1))
    (features["token_embeddings"] * noise).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in model.parameters())
    for part in model.modules():
        if isinstance(part, TokenMixing):
            above = part.weight.grad.triu(1)
            assert bool((above != 0).any()) == (not model[0].config.causal)


# Padding and batches


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_neither_padding_nor_the_other_texts_of_a_batch_change_an_embedding(
    tokenizer: PreTrainedTokenizerFast, shape: str, alignment: str
) -> None:
    model = make(tokenizer, shape, alignment)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    for order in ([0, 1, 2, 3, 4, 5], [5, 0, 3, 1, 4, 2], [2, 2, 1]):
        together = model.encode([TEXTS[i] for i in order], batch_size=len(order))
        np.testing.assert_allclose(together, alone[order], atol=1e-6)
    assert np.abs(alone[1] - alone[3]).max() > 1e-3


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_stands_in_the_padding_never_reaches_a_text(
    tokenizer: PreTrainedTokenizerFast, shape: str, alignment: str
) -> None:
    model = make(tokenizer, shape, alignment).eval()
    features = model.preprocess(TEXTS)
    ids_BT, mask_BT = features["input_ids"], features["attention_mask"]
    garbage_BT = torch.where(mask_BT > 0, ids_BT, (ids_BT + 57) % 200)
    assert not torch.equal(garbage_BT, ids_BT)
    expected = model({**features})["sentence_embedding"]
    found = model({"input_ids": garbage_BT, "attention_mask": mask_BT})["sentence_embedding"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# Sizes


@pytest.mark.parametrize(
    ("shape", "first", "second"),
    [
        ("groups", 4 * MATRIX, 4 * MATRIX),
        ("heads", *2 * [4 * MATRIX + 2 * WIDTH * WIDTH]),
        ("kernel", *2 * [4 * CONTEXT * CONTEXT + CONTEXT]),
        ("unmasked", MATRIX, MATRIX),
        ("transfixer", MATRIX, 4 * WIDTH * WIDTH),
        ("identity", -2 * WIDTH, -2 * WIDTH),  # not even the norm before mixing
    ],
)
def test_the_blocks_of_a_variant_have_exactly_their_formula(
    tokenizer: PreTrainedTokenizerFast, shape: str, first: int, second: int
) -> None:
    found = [sum(p.numel() for p in block.parameters()) for block in make(tokenizer, shape)[0].blocks]
    assert found == [first + CHANNELS + 2 * WIDTH, second + CHANNELS + 2 * WIDTH]


@pytest.mark.parametrize("preset", VARIANTS)
def test_a_variant_preset_is_built_as_its_row_says(preset: str) -> None:
    model = build_model(preset)
    row = VARIANTS[preset]
    assert {name: getattr(model[0].config, name) for name in row if name != "pooling"} == {
        name: value for name, value in row.items() if name != "pooling"
    }
    assert model[1].pooling_mode == row.get("pooling", "mean")


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 3}, "groups must divide the width, 64, and 3 does not"),
        ({"groups": 0}, "groups must be at least 1, not 0"),
        ({"heads": 5}, "heads must divide the width, 64, and 5 does not"),
        ({"heads": -1}, "heads must be at least 0, not -1"),
        ({"kernel": 0}, "kernel must be at least 1, not 0"),
        ({"kernel": 65}, "kernel must be at most the width, 64, not 65"),
        ({"groups": 4, "kernel": 2}, "groups and kernel are different token mixings; choose one"),
        ({"groups": 4, "heads": 2}, "groups and heads are different token mixings; choose one"),
        ({"attention_every": 1}, "attention_every must be 0 or lie in 2 to 4, the depth, not 1"),
        ({"attention_every": 5}, "attention_every must be 0 or lie in 2 to 4, the depth, not 5"),
        ({"attention_every": 2, "width": 96}, "needs a width that is a multiple of 64, not 96"),
        ({"mixing": "none", "groups": 4}, "mixes no tokens: it cannot have groups=4"),
        ({"mixing": "none", "causal": False}, "mixes no tokens: it cannot have causal=False"),
        ({"mixing": "all"}, "mixing must be 'tokens' or 'none', not 'all'"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixerConfig(**{"width": 64, "depth": 4, "context": 8, "vocabulary": 300, **changes})


@pytest.mark.parametrize(
    ("pooling", "message"), [("lasttoken", "every text has the same last token"), ("cls", "not 'cls'")]
)
def test_a_pooling_that_cannot_be_is_refused(
    tokenizer: PreTrainedTokenizerFast, pooling: str, message: str
) -> None:
    sizes = {"width": 16, "depth": 1, "context": 8, "mixing": "none"}
    with pytest.raises(ValueError, match=message):
        build_mixer_encoder(sizes, tokenizer, seed=0, pooling=pooling)


@pytest.mark.parametrize("alignment", ["left", "right"])
@pytest.mark.parametrize("tokens", [5, 8, 11])
def test_strips_of_a_long_causal_matrix_are_the_whole_product(
    alignment: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixbench.models.token_mixing.STRIP", 4)
    torch.manual_seed(0)
    mixing, x_BTd = TokenMixing(12, alignment), torch.randn(2, tokens, 3)
    whole_BTd = mixing(x_BTd)  # with gradients there are no strips
    shapes: list[torch.Size] = []
    tril = torch.tril
    monkeypatch.setattr(
        torch, "tril", lambda weight, **rest: (shapes.append(weight.shape), tril(weight, **rest))[1]
    )
    with torch.no_grad():
        monkeypatch.setattr(mixing, "masked", torch.tril)
        torch.testing.assert_close(mixing(x_BTd), whole_BTd.detach())
        counted = count_flops(lambda: mixing(x_BTd))
    assert shapes[0] == (4, 4)
    assert counted == 2 * 2 * tokens * tokens * 3  # as where there are no strips
