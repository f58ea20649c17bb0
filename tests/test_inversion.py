"""Inversion: which tokens a gradient finds again in the states of a network, and which it must not."""

import pytest
import torch
from torch import Tensor, nn

from mixbench.errors import InputError
from mixbench.probes.decoding import Decoder
from mixbench.probes.forms import FairForm, Form, PaperForm, rate_of
from mixbench.probes.inversion import Inversion, TextInversion

VOCABULARY, WIDTH, TOKENS = 200, 24, 6
FORMS = [PaperForm(), FairForm()]


class Network(nn.Module):
    """One layer that maps token embeddings to states: the identity, unless a subclass says otherwise."""

    layers, context = 1, 8

    def __init__(self, deviation: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        draw = torch.Generator().manual_seed(0)
        nn.init.normal_(self.embedding.weight, 0, deviation, generator=draw)

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        return x_BTd


class Dropping(Network):
    """Lets nothing of the third token through."""

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        return x_BTd * torch.tensor([1.0, 1, 0, 1, 1, 1])[:, None]


class Summing(Network):
    """The state of a token is it, and beside it the sum of it and all before."""

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        return torch.cat([x_BTd, x_BTd.cumsum(1)], 2)


class SummingAfter(Network):
    """The state of a token is the sum of it and all after: nothing is mixed forward."""

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        return x_BTd.flip(1).cumsum(1).flip(1)


class Overflowing(Network):
    """States too large for half precision, in which it holds its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.half()

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        return x_BTd * 60_000


def random_ids(texts: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(0, VOCABULARY, (texts, TOKENS), generator=torch.Generator().manual_seed(seed))


def invert(network: Network, form: Form, ids: Tensor | None = None, **where: int) -> list[TextInversion]:
    return Inversion(network, form).invert(random_ids() if ids is None else ids, layer=1, **where)


# What is found


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_states_that_are_the_embeddings_give_every_token_back(form: Form) -> None:
    for text in invert(Network(), form):
        assert (text.ham, text.weighted_top1, text.top1, text.top5) == (0, 1, 1, 1)
        assert text.loss < text.noise_loss


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_of_a_token_that_the_network_drops_nothing_is_found(form: Form) -> None:
    for text in invert(Dropping(), form):
        assert text.ham == pytest.approx(1 / TOKENS)
        assert (text.top1, text.top5) == pytest.approx((5 / 6, 5 / 6))


def test_a_hidden_token_is_found_where_later_states_sum_it_up_and_not_where_they_hold_only_themselves() -> (
    None
):
    for form in FORMS:
        assert [text.top1 for text in invert(Summing(), form, hidden=1)] == [1, 1, 1]
        assert [text.ham for text in invert(Network(), form, hidden=1)] == [1, 1, 1]
        assert [text.top5 for text in invert(Network(), form, hidden=1)] == [0, 0, 0]


def test_states_that_look_ahead_tell_nothing_of_the_hidden_tokens_before_them() -> None:
    assert [text.top1 for text in invert(SummingAfter(), FairForm())] == [1, 1, 1]
    assert [text.top5 for text in invert(SummingAfter(), FairForm(), hidden=2)] == [0, 0, 0]


def test_several_hidden_tokens_of_which_only_the_sum_is_known_stay_unknown() -> None:
    found = [text.top1 for seed in range(3) for text in invert(Summing(), FairForm(), hidden=4, seed=seed)]
    assert sum(found) / len(found) < 0.75


# Decoding


def test_the_nearest_embedding_is_so_by_distance_and_not_by_its_length() -> None:
    decoder = Decoder(torch.tensor([[1.0, 0.0], [10.0, 0.0], [0.0, 3.0]]))
    assert decoder.nearest(torch.tensor([[2.0, 0.0], [0.0, 9.0]]), 2).tolist() == [[0, 2], [2, 0]]


def test_the_pseudo_inverse_gives_the_weights_of_a_sum_of_embeddings() -> None:
    embedding = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    decoder = Decoder(embedding)
    assert torch.allclose(decoder.inverse_dV, torch.linalg.pinv(embedding), atol=1e-5)
    mixed = 0.5 * embedding[4] + 0.3 * embedding[1] - 2 * embedding[0]
    assert decoder.weighted(mixed[None], 2).tolist() == [[4, 1]]
    assert decoder.weighted(mixed[None], 9).shape == (1, 5)


# The scale of the embeddings


@pytest.mark.parametrize("deviation", [0.02, 1.0, 50.0])
def test_the_fair_form_takes_the_same_steps_at_every_scale(deviation: float) -> None:
    exact = Inversion(Network(), FairForm(steps=50))
    scaled = Inversion(Network(deviation), FairForm(steps=50))
    assert scaled.deviation == pytest.approx(deviation * exact.deviation, rel=1e-5)
    pairs = zip(exact.invert(random_ids(), layer=1), scaled.invert(random_ids(), layer=1), strict=True)
    for one, other in pairs:
        assert (one.ham, one.top1, one.top5) == (other.ham, other.top1, other.top5)
        assert other.loss == pytest.approx(one.loss, rel=1e-3)


def test_the_papers_form_finds_nothing_where_its_steps_are_longer_than_the_embeddings() -> None:
    small, fair = (invert(Network(0.001), form) for form in FORMS)
    assert min(text.ham for text in small) > 0.5
    assert [text.ham for text in fair] == [0, 0, 0]


def test_the_papers_noise_decides_its_reference_tokens_and_the_fair_form_has_true_ones() -> None:
    ids, network = random_ids(), Network()
    loud, silent = (Inversion(network, PaperForm(noise=noise)).invert(ids, layer=1) for noise in (9.0, 0.0))
    assert [text.top1 for text in loud] == [text.top1 for text in silent] == [1, 1, 1]
    assert [text.ham for text in silent] == [0, 0, 0]
    assert min(text.ham for text in loud) > 0.5
    fair = [Inversion(network, FairForm(noise=noise)).invert(ids, layer=1) for noise in (0.0, 100.0)]
    assert [text.ham for text in fair[0]] == [text.ham for text in fair[1]] == [0, 0, 0]
    assert fair[0][0].noise_loss == 0 < fair[1][0].noise_loss


def test_a_reference_that_comes_out_as_padding_is_not_counted() -> None:
    ids = torch.tensor([[7, 7, 7, 9, 9, 9]])
    form = PaperForm(noise=0.0)
    ham = {pad: Inversion(Dropping(), form, pad=pad).invert(ids, layer=1)[0].ham for pad in (None, 7, 9)}
    assert ham == pytest.approx({None: 1 / 6, 7: 0, 9: 1 / 3})


def test_the_rate_falls_along_a_line_to_about_a_tenth() -> None:
    form = PaperForm(steps=4, rate=0.02)
    assert [rate_of(form, step) for step in range(4)] == pytest.approx([0.02, 0.0155, 0.011, 0.0065])


def test_one_step_of_the_papers_form_is_the_rate_times_the_sign_of_the_difference() -> None:
    ids, network = random_ids(1), Network()
    before = Inversion(network, PaperForm(steps=1, rate=1e-12)).invert(ids, layer=1)[0].loss
    after = Inversion(network, PaperForm(steps=1, rate=1e-3)).invert(ids, layer=1)[0].loss
    assert before - after == pytest.approx(1e-3 * TOKENS * WIDTH, rel=0.02)


# Batches and seeds


@pytest.mark.parametrize("form", [PaperForm(steps=40), FairForm(steps=40)], ids=lambda form: form.name)
def test_a_batch_gives_what_its_texts_give_alone(form: Form) -> None:
    ids, network = random_ids(4), Summing()
    alone = [invert(network, form, row[None])[0] for row in ids]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        for place, text in zip(order, invert(network, form, ids[order]), strict=True):
            assert (text.ham, text.top1, text.top5) == (
                alone[place].ham,
                alone[place].top1,
                alone[place].top5,
            )
            assert text.loss == pytest.approx(alone[place].loss, rel=1e-4)
    assert len({text.loss for text in alone}) == 4


def test_the_same_seed_gives_the_same_and_another_another_start() -> None:
    form = FairForm(steps=5)
    first, again, other = (invert(Network(), form, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert [text.loss for text in first] != [text.loss for text in other]


def test_nothing_global_is_drawn_and_no_weight_changes() -> None:
    network, state = Network(), torch.random.get_rng_state()
    before = network.embedding.weight.clone()
    invert(network, FairForm(steps=3))
    assert torch.equal(network.embedding.weight, before)
    assert network.embedding.weight.grad is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_smaller_vocabulary_leaves_only_its_tokens_to_decode_to() -> None:
    ids = random_ids() % 3
    texts = Inversion(Network(), FairForm(steps=1), vocabulary=3).invert(ids, layer=1)
    assert [(text.ham, text.top5) for text in texts] == [(0, 1)] * 3
    assert max(text.top5 for text in invert(Network(), FairForm(steps=1), ids)) < 1


# What is refused


def test_what_cannot_be_inverted_is_refused_in_one_line() -> None:
    network, ids = Network(), random_ids()
    inversion = Inversion(network, FairForm(steps=1))
    for layer in (0, 2, -1):
        with pytest.raises(InputError, match=f"no layer {layer}: this model has 1 to 1"):
            inversion.invert(ids, layer=layer)
    with pytest.raises(InputError, match="9 tokens do not fit the context of 8"):
        inversion.invert(torch.zeros(1, 9, dtype=torch.long), layer=1)
    for hidden in (TOKENS, -1):
        with pytest.raises(InputError, match=f"of 6 tokens {hidden} cannot be hidden: give 0 to 5"):
            inversion.invert(ids, layer=1, hidden=hidden)
    with pytest.raises(InputError, match="not in the vocabulary of 200"):
        inversion.invert(ids + VOCABULARY, layer=1)
    with pytest.raises(InputError, match="a vocabulary of 201 asked of a model with 200 tokens"):
        Inversion(network, FairForm(), vocabulary=201)


def test_states_that_overflow_half_precision_are_refused() -> None:
    with pytest.raises(InputError, match="states of layer 1 are not finite in float16"):
        invert(Overflowing(), FairForm(steps=1))


def test_embeddings_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(InputError, match=r"standard deviation 0\.0"):
        Inversion(Network(0.0), FairForm())


@pytest.mark.parametrize("form", [PaperForm, FairForm])
def test_settings_out_of_range_are_refused(form: type[PaperForm] | type[FairForm]) -> None:
    for wrong in ({"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"noise": -1.0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
            form(**wrong)
