"""Generation: the cache changes nothing, on either side of a full context, and sampling keeps its word."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from command import Run, refused
from tiny_language import CONTEXT, tiny_language, tiny_tokenizer

from mixbench.errors import InputError
from mixbench.models.generate import MixerReader, TransformerReader, continuation
from mixbench.models.sampling import Sampling, choose, kept


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def plain(language, ids, count: int) -> list[int]:
    """Greedy tokens after `ids`, each from a whole pass over the window."""
    network, window, new = language.left_aligned(), list(ids), []
    for _ in range(count):
        if len(window) > CONTEXT:
            window = window[-(CONTEXT // 2) :]
        ids_1T = torch.tensor([window])
        features = {"input_ids": ids_1T, "attention_mask": torch.ones_like(ids_1T)}
        with torch.inference_mode():
            states = network(features)["token_embeddings"]
            new.append(int(language.head(states[0, -1]).argmax()))
        window.append(new[-1])
    return new


@pytest.mark.parametrize("kind", ["left", "right", "groups", "twin", "gpt"])
@pytest.mark.parametrize("prompt", [1, CONTEXT - 1, CONTEXT, CONTEXT + 5])
def test_generated_tokens_are_those_of_whole_passes_within_the_context_and_beyond(
    tokenizer, kind, prompt
) -> None:
    language = tiny_language(tokenizer, kind)
    torch.nn.init.normal_(language.head.norm.weight, generator=torch.manual_seed(1))
    ids = torch.randint(2, 250, (prompt,), generator=torch.manual_seed(2)).tolist()
    count = 2 * CONTEXT
    found = list(islice(continuation(language, ids, Sampling(temperature=0)), count))
    assert found == plain(language, ids, count)
    assert len(set(found)) > 3


def test_an_unmasked_mixer_cannot_predict_what_it_sees(tokenizer) -> None:
    with pytest.raises(InputError, match="does not look back only"):
        tiny_language(tokenizer, "unmasked")


def test_the_cache_of_a_mixer_gives_the_states_of_a_full_pass(tokenizer) -> None:
    language = tiny_language(tokenizer, "left")
    ids = torch.randint(2, 250, (CONTEXT,), generator=torch.manual_seed(2))
    with torch.inference_mode():
        whole_Td = language.states(ids[None])[0]
        reader = MixerReader(language.left_aligned())
        rows = [reader.read(ids[:5].tolist()), *(reader.read([int(each)]) for each in ids[5:])]
    assert (torch.stack(rows) - whole_Td[4:]).abs().max() < 1e-5
    assert (whole_Td[4:-1] - whole_Td[5:]).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["twin", "wide-twin", "gpt"])
def test_the_cache_of_a_transformer_gives_the_states_of_a_full_pass(tokenizer, kind) -> None:
    language = tiny_language(tokenizer, kind)
    ids = torch.randint(2, 250, (CONTEXT,), generator=torch.manual_seed(2))
    reader = TransformerReader(language.left_aligned())
    with torch.inference_mode():
        whole_Td = language.states(ids[None])[0]
        rows = [reader.read(ids[:5].tolist()), reader.read(ids[5:9].tolist())]
        rows += [reader.read([int(each)]) for each in ids[9:]]
        reader.restart()
        again_d = reader.read(ids[:5].tolist())
    assert (torch.stack(rows) - whole_Td[[4, *range(8, CONTEXT)]]).abs().max() < 1e-5
    assert torch.equal(again_d, rows[0])
    assert (whole_Td[4:-1] - whole_Td[5:]).abs().max() > 0.1


def test_a_right_aligned_mixer_generates_as_its_left_aligned_copy_with_the_same_weights(tokenizer) -> None:
    right, left = tiny_language(tokenizer, "right"), tiny_language(tokenizer, "left")
    copy = right.left_aligned()
    assert (copy.config.alignment, right.states.network.config.alignment) == ("left", "right")
    assert copy.embedding.weight.data_ptr() == right.states.network.embedding.weight.data_ptr()
    sampling = Sampling(temperature=0)
    ours = list(islice(continuation(right, [1, 9, 40], sampling), 8))
    assert ours == list(islice(continuation(left, [1, 9, 40], sampling), 8))


def test_a_seed_repeats_a_text_and_another_seed_gives_another(tokenizer) -> None:
    language = tiny_language(tokenizer)
    first, again, other = (
        list(islice(continuation(language, [1], Sampling(seed=seed)), 20)) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_sampling_keeps_the_best_k_and_then_the_fewest_that_reach_p() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    assert kept(logits, Sampling(top_k=2)).isfinite().tolist() == [False, True, False, True]
    assert kept(logits, Sampling(top_p=0.65)).isfinite().tolist() == [False, True, False, True]
    assert kept(logits, Sampling(top_p=0.75)).isfinite().tolist() == [False, True, True, True]
    assert kept(logits, Sampling(top_p=0.01)).isfinite().tolist() == [False, True, False, False]
    assert torch.equal(kept(logits, Sampling()), logits)
    assert choose(logits, Sampling(temperature=0), torch.Generator()) == 1


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_k": -1}]
)
def test_sampling_that_cannot_be_done_is_refused(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_a_model_without_a_language_head_and_a_preset_are_refused(run: Run) -> None:
    refused(run("generate", "mixer-tiny", "a"), "mixer-tiny", "no language head", "mixbench pretrain")
    refused(run("generate", "tiny", "a"), "'tiny' is untrained")
    assert list(Path().iterdir()) == []
