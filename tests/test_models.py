"""Masked mixers and their opponents: sizes, the mask, padding, alignment, files."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from mixbench.errors import CheckpointError, UnknownName
from mixbench.models import MIXERS, OPPONENTS, PRESETS, STATIC, VARIANTS, build_model
from mixbench.models.build import build_mixer_encoder
from mixbench.models.load import load_model, model_sha256
from mixbench.models.mixer import MaskedMixer, MixerConfig, TokenMixing
from mixbench.models.storage import expand, shrink, shrink_folder
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.mteb_model import as_mteb

CONTEXT = 12
ALIGNMENTS = ["left", "right"]
TEXTS = [
    "",
    "wing",
    "the lift of a wing",
    "drag",
    "a boundary layer over a flat plate",
    "the lift of a wing in a flow that is so long that its end cannot be read by anything",
]
SIZES = {
    # preset: (all parameters, those outside the token embedding)
    "tiny": (6_563_840, 2_369_536),
    "tiny-twin": (6_547_712, 2_353_408),
    "tiny-wide-twin": (8_390_912, 4_196_608),
    "tiny-bi-twin": (6_547_712, 2_353_408),
    "tiny-gpt": (7_419_392, 3_225_088),
    "small": (25_729_024, 17_340_416),
    "small-twin": (25_731_584, 17_342_976),
    "small-wide-twin": (41_951_744, 33_563_136),
    "small-bi-twin": (25_731_584, 17_342_976),
    "small-gpt": (33_739_776, 25_351_168),
    "tiny-grouped": (8_406_016, 4_211_712),
    "tiny-identity": (6_298_624, 2_104_320),
    "small-grouped": (29_413_376, 21_024_768),
    "small-heads": (31_502_336, 23_113_728),
    "small-kernel": (27_301_888, 18_913_280),
    "small-unmasked": (25_729_024, 17_340_416),
    "small-transfixer": (27_694_592, 19_305_984),
    "small-identity": (25_194_496, 16_805_888),
    "tiny-static": (4_194_304, 0),
    "small-static": (8_388_608, 0),
    "base": (72_440_832, 59_857_920),
    "base-twin": (72_321_792, 59_738_880),
    "base-wide-twin": (125_848_320, 113_265_408),
    "base-bi-twin": (72_321_792, 59_738_880),
    "base-gpt": (98_032_128, 85_449_216),
}
SLOW_TO_BUILD = [preset for preset in SIZES if preset.startswith("base")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    save_tokenizer(train_tokenizer(2 * TEXTS, 400), path)
    return load_tokenizer(path)


def small_mixer(
    tokenizer: PreTrainedTokenizerFast, alignment: str = "right", seed: int = 0, pooling: str = "mean"
) -> SentenceTransformer:
    sizes = {"width": 16, "depth": 2, "context": CONTEXT, "alignment": alignment}
    return build_mixer_encoder(sizes, tokenizer, seed, pooling)


def states(model: SentenceTransformer, ids_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    mask_BT = torch.ones_like(ids_BT) if mask_BT is None else mask_BT
    with torch.inference_mode():
        found: Tensor = model[0]({"input_ids": ids_BT, "attention_mask": mask_BT})["token_embeddings"]
    return found


def random_ids(model: SentenceTransformer, rows: int, tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(2, len(model.tokenizer), (rows, tokens), generator=torch.manual_seed(seed))


def count(model: SentenceTransformer) -> tuple[int, int]:
    """Return the parameters of a model, all and without the token embedding."""
    total = sum(parameter.numel() for parameter in model.parameters())
    (embedding,) = (
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and not name.endswith(".wpe")  # positions
    )
    return total, total - embedding.weight.numel()


def later_tokens_change(model: SentenceTransformer, tokens: int = CONTEXT, keep: int = 5) -> list[bool]:
    """Say of each state whether it changes with the tokens from position `keep` on, which become noise."""
    ids_BT = random_ids(model, 4, tokens)
    noise_BT = torch.cat([ids_BT[:, :keep], (ids_BT[:, keep:] * 7 + 3) % 200 + 2], 1)
    assert not (noise_BT == ids_BT)[:, keep:].all()
    difference_BTd = (states(model, ids_BT) - states(model, noise_BT)).abs()
    return [float(value) > 1e-5 for value in difference_BTd.amax((0, 2))]


# Sizes


def test_the_table_of_sizes_has_every_preset() -> None:
    assert set(SIZES) == set(PRESETS) == {*MIXERS, *VARIANTS, *STATIC, *OPPONENTS}


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(preset, marks=pytest.mark.slow if preset in SLOW_TO_BUILD else ())
        for preset in SIZES
        if preset != "base"
    ],
)
def test_a_preset_has_exactly_the_parameters_of_the_table(preset: str) -> None:
    model = build_model(preset)
    assert count(model) == SIZES[preset]
    assert len(model.tokenizer.get_vocab()) == 16_384
    shape = {**MIXERS, **VARIANTS, **STATIC, **OPPONENTS}[preset]
    assert model.max_seq_length == shape.get("context", math.inf)
    assert model.get_embedding_dimension() == shape["width"]


@pytest.mark.parametrize("preset", MIXERS)
def test_the_mixers_of_the_table_are_their_formula(preset: str) -> None:
    tokenizer = load_tokenizer()
    with torch.device("meta"):
        mixer = MaskedMixer(MixerConfig(vocabulary=len(tokenizer), **MIXERS[preset]), tokenizer)
    assert sum(parameter.numel() for parameter in mixer.parameters()) == SIZES[preset][0]
    d, tokens, depth = mixer.config.width, mixer.config.context, mixer.config.depth
    block = (tokens * tokens + tokens) + 2 * 2 * d + (8 * d * d + 5 * d)
    assert SIZES[preset] == (depth * block + len(tokenizer) * d, depth * block)


@pytest.mark.parametrize("preset", [preset for preset in OPPONENTS if "twin" in preset])
def test_the_opponents_of_the_table_are_their_formula(preset: str) -> None:
    d, depth, hidden = (OPPONENTS[preset][key] for key in ("width", "depth", "feedforward"))
    block = 4 * d * d + 3 * d * hidden + 2 * d
    assert SIZES[preset] == (depth * block + d + 16_384 * d, depth * block + d)


@pytest.mark.parametrize("mixer", MIXERS)
def test_twins_have_the_mixers_shape_and_its_parameters_within_five_percent(mixer: str) -> None:
    own = SIZES[mixer][1]
    for kind in ("twin", "bi-twin"):
        assert 0.95 * own <= SIZES[f"{mixer}-{kind}"][1] <= 1.05 * own
    assert SIZES[f"{mixer}-wide-twin"][1] > 1.5 * own
    assert OPPONENTS[f"{mixer}-wide-twin"]["feedforward"] == 4 * MIXERS[mixer]["width"]
    for kind in ("twin", "wide-twin", "bi-twin", "gpt"):
        opponent = OPPONENTS[f"{mixer}-{kind}"]
        assert {key: opponent[key] for key in ("width", "depth", "context")} == MIXERS[mixer]


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_gpts_of_the_table_are_their_formula(mixer: str) -> None:
    gpt = OPPONENTS[f"{mixer}-gpt"]
    d, depth, context = (gpt[key] for key in ("width", "depth", "context"))
    assert gpt["feedforward"] == 4 * d
    attention, feedforward, norms = 4 * d * d + 4 * d, 8 * d * d + 5 * d, 2 * 2 * d
    own = context * d + depth * (attention + feedforward + norms) + 2 * d
    assert SIZES[f"{mixer}-gpt"] == (own + 16_384 * d, own)


def test_twins_read_the_mixers_tokens_and_pool_as_they_say() -> None:
    models = {preset: build_model(preset) for preset in ["tiny", *OPPONENTS] if preset.startswith("tiny")}
    expected = models["tiny"].tokenizer(TEXTS)["input_ids"]
    for model in models.values():
        assert model.preprocess(TEXTS)["attention_mask"].sum(1).tolist() == [len(row) for row in expected]
        assert model.tokenizer(TEXTS)["input_ids"] == expected
    pooling = {preset: model[1].pooling_mode for preset, model in models.items()}
    assert pooling == dict.fromkeys(models, "mean")


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown preset 'tiny-twinn'; did you mean 'tiny-twin'"):
        build_model("tiny-twinn")


# The mask


@pytest.mark.parametrize("tokens", [CONTEXT, 9])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_no_state_of_a_mixer_depends_on_later_tokens(
    tokenizer: PreTrainedTokenizerFast, alignment: str, tokens: int
) -> None:
    changed = later_tokens_change(small_mixer(tokenizer, alignment), tokens)
    assert changed == [False] * 5 + [True] * (tokens - 5)


class UnmaskedTokenMixing(TokenMixing):
    """Token mixing without the mask: what the test above must catch."""

    def forward(self, x_BTd: Tensor) -> Tensor:
        tokens = x_BTd.shape[1]
        return self.weight[:tokens, :tokens] @ x_BTd + self.bias[:tokens, None]


def test_a_mixer_without_the_mask_is_caught_by_the_same_check(tokenizer: PreTrainedTokenizerFast) -> None:
    model = small_mixer(tokenizer, "left")
    mixing = model[0].blocks[0].token_mixing
    unmasked = UnmaskedTokenMixing(CONTEXT, "left")
    unmasked.load_state_dict(mixing.state_dict())
    model[0].blocks[0].token_mixing = unmasked
    assert later_tokens_change(model) == [True] * CONTEXT


@pytest.mark.parametrize(
    ("preset", "causal"), [("tiny-twin", True), ("tiny-bi-twin", False), ("tiny-gpt", True)]
)
def test_the_causal_opponents_look_back_only_and_the_bi_twin_does_not(preset: str, causal: bool) -> None:
    assert later_tokens_change(build_model(preset)) == [not causal] * 5 + [True] * (CONTEXT - 5)


def test_every_layer_of_the_bi_twin_sees_the_whole_text() -> None:
    assert build_model("tiny-bi-twin")[0].model.config.layer_types == ["full_attention"] * 4


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_no_weight_above_the_diagonal_has_a_gradient(
    tokenizer: PreTrainedTokenizerFast, alignment: str
) -> None:
    model = small_mixer(tokenizer, alignment)
    ids_BT = random_ids(model, 3, CONTEXT)
    features = model({"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)})
    (
        features["token_embeddings"] * torch.randn(3, CONTEXT, 16, generator=torch.manual_seed(1))
    ).sum().backward()
    for block in model[0].blocks:
        gradient = block.token_mixing.weight.grad
        assert torch.equal(gradient.triu(1), torch.zeros(CONTEXT, CONTEXT))
        assert int((gradient != 0).sum()) == CONTEXT * (CONTEXT + 1) // 2


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_parameters_are_never_rewritten_in_forward(
    tokenizer: PreTrainedTokenizerFast, alignment: str
) -> None:
    model = small_mixer(tokenizer, alignment).train()
    before = copy.deepcopy(model.state_dict())
    versions = {name: parameter._version for name, parameter in model.named_parameters()}
    model(model.preprocess(TEXTS))["sentence_embedding"].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: parameter._version for name, parameter in model.named_parameters()} == versions
    assert before["0.blocks.0.token_mixing.weight"].triu(1).abs().sum() > 0


# Alignment and padding


@pytest.mark.parametrize(("alignment", "last"), [("left", 1 + 2 + 10), ("right", 1 + 20 + 40)])
def test_a_text_is_mixed_by_the_corner_that_its_alignment_names(alignment: str, last: int) -> None:
    mixing = TokenMixing(3, alignment)
    with torch.no_grad():
        mixing.weight.copy_(torch.tensor([[1.0, 99, 99], [2, 10, 99], [4, 20, 40]]))
        mixing.bias.fill_(1)
    first = {"left": 1 + 1, "right": 1 + 10}[alignment]
    assert mixing(torch.ones(1, 2, 1)).flatten().tolist() == [first, last]


def test_with_left_alignment_a_slice_of_the_weights_equals_the_whole_context(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = small_mixer(tokenizer, "left")
    whole_BT = random_ids(model, 3, CONTEXT)
    for tokens in range(1, CONTEXT):
        part = states(model, whole_BT[:, :tokens])
        torch.testing.assert_close(part, states(model, whole_BT)[:, :tokens], atol=1e-5, rtol=0)


def test_with_right_alignment_the_last_token_is_always_mixed_by_the_last_row(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = small_mixer(tokenizer, "right")
    before = model.encode(TEXTS)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for block in changed[0].blocks:
            block.token_mixing.weight[-1] += torch.randn(CONTEXT, generator=torch.manual_seed(3))
    assert (np.abs(changed.encode(TEXTS) - before).max(1) > 1e-3).all()


@pytest.mark.parametrize("pooling", ["lasttoken", "mean"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_neither_padding_nor_order_of_a_batch_changes_an_embedding(
    tokenizer: PreTrainedTokenizerFast, alignment: str, pooling: str
) -> None:
    model = small_mixer(tokenizer, alignment, pooling=pooling)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    for order in ([0, 1, 2, 3, 4, 5], [5, 0, 3, 1, 4, 2], [2, 2, 1]):
        together = model.encode([TEXTS[i] for i in order], batch_size=len(order))
        np.testing.assert_allclose(together, alone[order], atol=1e-6)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_what_stands_in_the_padding_never_reaches_a_text(
    tokenizer: PreTrainedTokenizerFast, alignment: str
) -> None:
    model = small_mixer(tokenizer, alignment)
    features = model.preprocess(TEXTS)
    expected = model({**features})["sentence_embedding"]
    ids_BT, mask_BT = features["input_ids"], features["attention_mask"]
    garbage_BT = torch.where(mask_BT > 0, ids_BT, random_ids(model, *ids_BT.shape))
    assert not torch.equal(garbage_BT, ids_BT)
    found = model({"input_ids": garbage_BT, "attention_mask": mask_BT})["sentence_embedding"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_with_right_alignment_padding_on_the_left_or_on_the_right_is_the_same(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = small_mixer(tokenizer, "right")
    rows = model.tokenizer(TEXTS[:5])["input_ids"]
    width = max(map(len, rows))

    def embedding(pad_left: bool) -> Tensor:
        def padded(row: Sequence[int], filler: int) -> list[int]:
            padding = [filler] * (width - len(row))
            return [*padding, *row] if pad_left else [*row, *padding]

        features = {
            "input_ids": torch.tensor([padded(row, 0) for row in rows]),
            "attention_mask": torch.tensor([padded([1] * len(row), 0) for row in rows]),
        }
        found: Tensor = model(features)["sentence_embedding"]
        return found

    torch.testing.assert_close(embedding(pad_left=True), embedding(pad_left=False), atol=1e-6, rtol=0)


# Length


def test_a_text_longer_than_the_context_is_cut_and_keeps_its_end_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = small_mixer(tokenizer)
    ids = model.preprocess([TEXTS[5]])["input_ids"][0].tolist()
    whole = tokenizer(TEXTS[5])["input_ids"]
    assert len(whole) > CONTEXT
    assert ids == [*whole[: CONTEXT - 1], tokenizer.eos_token_id]
    model.max_seq_length = 4
    assert model.preprocess([TEXTS[5]])["input_ids"].tolist() == [[*whole[:3], tokenizer.eos_token_id]]


def test_an_empty_text_has_an_embedding(tokenizer: PreTrainedTokenizerFast) -> None:
    for alignment in ALIGNMENTS:
        (empty, blank) = small_mixer(tokenizer, alignment).encode(["", " \n\t"])
        assert np.linalg.norm(empty) == pytest.approx(1, abs=1e-6)
        assert (empty == blank).all()


@pytest.mark.parametrize("tokens", [0, -1, CONTEXT + 1])
def test_a_length_that_the_context_does_not_hold_is_refused(
    tokenizer: PreTrainedTokenizerFast, tokens: int
) -> None:
    model = small_mixer(tokenizer)
    with pytest.raises(ValueError, match=f"must lie in 1 to 12, the context; not {tokens}"):
        model.max_seq_length = tokens
    with pytest.raises(ValueError, match=f"must lie in 1 to 12, the context; not {tokens}"):
        MaskedMixer(model[0].config, tokenizer, max_seq_length=tokens)
    assert model.max_seq_length == CONTEXT


@pytest.mark.parametrize("tokens", [CONTEXT + 1, 2 * CONTEXT, 5 * CONTEXT])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_more_tokens_than_the_context_are_refused_by_name(
    tokenizer: PreTrainedTokenizerFast, alignment: str, tokens: int
) -> None:
    model = small_mixer(tokenizer, alignment)
    with pytest.raises(ValueError, match=f"{tokens} tokens do not fit the context of 12"):
        states(model, random_ids(model, 1, tokens))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"context": -3}, "context must be at least 1, not -3"),
        ({"alignment": "centre"}, "alignment must be 'left' or 'right', not 'centre'"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    sizes = {"width": 16, "depth": 2, "context": 4, "vocabulary": 300, **changes}
    with pytest.raises(ValueError, match=message):
        MixerConfig(**sizes)


def test_a_tokenizer_with_more_tokens_than_the_mixer_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    config = MixerConfig(width=16, depth=1, context=4, vocabulary=100)
    with pytest.raises(CheckpointError, match=f"the tokenizer has {len(tokenizer)} tokens, the mixer 100"):
        MaskedMixer(config, tokenizer)


# Randomness, files, training, mteb


@pytest.mark.parametrize("preset", ["tiny", "tiny-twin", "tiny-bi-twin", "tiny-gpt"])
def test_a_seed_fixes_the_weights_and_building_leaves_the_global_generator_alone(preset: str) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = (build_model(preset, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    random = [name for name, value in first.items() if value.std() > 0]
    assert random
    assert not any(torch.equal(first[name], other[name]) for name in random)


@pytest.mark.parametrize("pooling", ["lasttoken", "mean"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_mixer_is_saved_and_read_again_exactly(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, alignment: str, pooling: str
) -> None:
    model = small_mixer(tokenizer, alignment, pooling=pooling)
    model.max_seq_length = 7
    model.save(str(tmp_path / "model"))
    again = load_model(tmp_path / "model")
    assert again.max_seq_length == 7
    assert again[0].config == model[0].config
    assert again.similarity_fn_name == "cosine"
    assert float(np.abs(again.encode(TEXTS) - model.encode(TEXTS)).max()) == 0.0
    again.save(str(tmp_path / "again"))
    assert model_sha256(tmp_path / "again") == model_sha256(tmp_path / "model")


def test_shrunk_weights_differ_by_at_most_half_a_step_of_their_row(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = small_mixer(tokenizer)
    state = {name: value.clone() for name, value in model[0].state_dict().items()}
    state["embedding.weight"][3] = 0
    small = shrink(state)
    assert {value.dtype for value in small.values()} == {torch.int8, torch.float16}
    full = expand(small)
    assert full.keys() == state.keys()
    for name, value in state.items():
        largest = value.abs().amax(-1, keepdim=True) if value.ndim == 2 else value.abs()
        # The scale, and a vector's values, are themselves rounded to the 11 bits of half precision.
        bound = largest * (0.5 / 127 + 2**-11) if value.ndim == 2 else largest * 2**-11
        assert ((full[name] - value).abs() <= bound + 1e-7).all(), name
    assert all(torch.equal(value, state[name]) for name, value in expand(state).items())


def test_a_shrunk_folder_is_read_as_its_rounded_weights(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = small_mixer(tokenizer)
    model.save(str(tmp_path))
    before = (tmp_path / "model.safetensors").stat().st_size
    shrink_folder(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 0.4 * before
    loaded = load_model(tmp_path)
    expected = expand(load_file(tmp_path / "model.safetensors"))
    assert all(torch.equal(value, expected[name]) for name, value in loaded[0].state_dict().items())
    similarity = (loaded.encode(TEXTS) * model.encode(TEXTS)).sum(1)
    assert similarity.min() > 0.999
    once = (tmp_path / "model.safetensors").read_bytes()
    loaded.save(str(tmp_path))
    shrink_folder(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size == len(once)


def test_the_gradient_of_the_ranking_loss_reaches_every_parameter(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = small_mixer(tokenizer)
    loss = MultipleNegativesRankingLoss(model, scale=20.0)
    queries, positives = model.preprocess(["wing", "drag"]), model.preprocess([TEXTS[2], TEXTS[4]])
    value = loss([queries, positives], torch.empty(0))
    value.backward()
    assert value.item() > 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_mean_pooling_is_the_mean_of_the_states_of_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    model = small_mixer(tokenizer, pooling="mean")
    features = model(model.preprocess(TEXTS))
    mask_BT1 = features["attention_mask"][..., None]
    mean_Bd = (features["token_embeddings"] * mask_BT1).sum(1) / mask_BT1.sum(1)
    expected = (mean_Bd / mean_Bd.norm(dim=1, keepdim=True)).detach().numpy()
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)


def test_embeddings_have_length_one_and_cosine_is_the_similarity(tokenizer: PreTrainedTokenizerFast) -> None:
    model = small_mixer(tokenizer)
    embeddings = model.encode(TEXTS)
    assert embeddings.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(model.similarity(embeddings, embeddings), embeddings @ embeddings.T, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_mock_run_of_mteb_passes_for_a_mixer(tokenizer: PreTrainedTokenizerFast) -> None:
    model = DenseRetriever(small_mixer(tokenizer), name="mixer", model_sha256="0" * 64)
    run = mteb.mock_run(as_mteb(model))
    assert run.all_passed
    passed = {name for name, status in run.items() if hasattr(status, "scores")}
    assert "MockRetrievalTask" in passed
