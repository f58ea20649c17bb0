"""Input representation accuracy (arXiv 2409.01482, section 3): states turned back into their tokens.

A gradient looks for token embeddings that give the states of a text at some layer; the share of the tokens
that they decode to is the accuracy. That no token is found tells that this attack fails, not that the states
do not hold it.

Shapes: B texts, T tokens each, d width, V vocabulary. With `hidden` k > 0 only the states of tokens k and
after are matched, and only the k tokens before them are looked for: a state always holds its own token, so
this alone shows what is mixed into later ones. There are k d more unknowns than equations then, and a part
of the start remains in what is found.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from mixbench.errors import InputError
from mixbench.probes.decoding import Decoder, TextInversion, judge
from mixbench.probes.forms import Form, rate_of


class States(Protocol):
    """An encoder from token embeddings on: the weight of `embedding` is (V, d), layers count from 1."""

    @property
    def embedding(self) -> nn.Embedding: ...

    @property
    def layers(self) -> int: ...

    @property
    def context(self) -> int: ...

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        """Return the states (B, T, d) of `layer`; no text may change another's."""
        ...


class Inversion:
    """Inversion of one encoder by one form.

    Args:
        encoder: what gives the states; it and its embeddings are on the device that is used, and stay as
            they are.
        form: how to look.
        vocabulary: so many first tokens are all there are to decode to; None takes all.
        pad: id that is not counted where a noisy reference comes out as it.

    Raises:
        InputError: the embeddings are not finite or all the same, or there are fewer than `vocabulary`.
    """

    def __init__(
        self, encoder: States, form: Form, *, vocabulary: int | None = None, pad: int | None = None
    ) -> None:
        weight_Vd = encoder.embedding.weight.detach()
        if vocabulary is not None and not 1 <= vocabulary <= len(weight_Vd):
            raise InputError(f"a vocabulary of {vocabulary} asked of a model with {len(weight_Vd)} tokens")
        self.encoder, self.form, self.pad = encoder, form, pad
        self.embedding_Vd = weight_Vd[:vocabulary]
        self.deviation = float(self.embedding_Vd.float().std(correction=0))
        """Of all entries of the embedding matrix."""
        if not 0 < self.deviation < float("inf"):
            raise InputError(f"the embeddings have the standard deviation {self.deviation}: nothing to find")
        self.unit = form.unit(self.deviation)
        self.decoder = Decoder(self.embedding_Vd)

    def invert(self, ids_BT: Tensor, *, layer: int, hidden: int = 0, seed: int = 0) -> list[TextInversion]:
        """Look for the tokens `ids_BT` (B, T) in their states at `layer`, all texts at once.

        A text's start depends on `seed` and on its tokens alone, so that its batch changes nothing.

        Raises:
            InputError: there is no such layer, the texts are longer than the context, no token is left to
                match, an id is not in the vocabulary, or states are not finite.
        """
        self.check(ids_BT.shape[1], layer=layer, hidden=hidden)
        if not 0 <= int(ids_BT.min()) <= int(ids_BT.max()) < len(self.embedding_Vd):
            raise InputError(f"a text has an id that is not in the vocabulary of {len(self.embedding_Vd)}")
        ids_BT = ids_BT.to(self.embedding_Vd.device)
        true_BTd = self.embedding_Vd[ids_BT]
        target_BTd = self._finite(true_BTd, layer, hidden)
        draws = [_generator(ids, seed) for ids in ids_BT.tolist()]
        found_BTd, losses_B = self._search(_normal(draws, true_BTd), target_BTd, layer, hidden)
        noisy_BTd = true_BTd + self.form.noise * self.unit * _normal(draws, true_BTd)
        noise_B = self.form.losses(self._finite(noisy_BTd, layer, hidden), target_BTd)
        wanted = slice(hidden) if hidden else slice(None)
        reference_BT = self._references(ids_BT, noisy_BTd)
        return [
            judge(self.decoder, *text, pad=self.pad if self.form.noisy_reference else None)
            for text in zip(
                found_BTd[:, wanted], ids_BT[:, wanted], reference_BT[:, wanted],
                losses_B.tolist(), noise_B.tolist(), strict=True,
            )
        ]  # fmt: skip

    def check(self, tokens: int, *, layer: int, hidden: int = 0) -> None:
        """Raise InputError where texts of so many `tokens` could not be inverted so."""
        if not 1 <= layer <= self.encoder.layers:
            raise InputError(f"there is no layer {layer!r}: this model has 1 to {self.encoder.layers}")
        if tokens > self.encoder.context:
            raise InputError(f"{tokens} tokens do not fit the context of {self.encoder.context}; take fewer")
        if not 0 <= hidden < tokens:
            raise InputError(f"of {tokens} tokens {hidden!r} cannot be hidden: give 0 to {tokens - 1}")

    def _references(self, ids_BT: Tensor, noisy_BTd: Tensor) -> Tensor:
        """Return the ids (B, T) that the pseudo-inverse is held to: the true ones, or of noisy embeddings."""
        if not self.form.noisy_reference:
            return ids_BT
        return self.decoder.weighted(noisy_BTd.flatten(0, 1), 1).view_as(ids_BT)

    def _finite(self, x_BTd: Tensor, layer: int, hidden: int) -> Tensor:
        """Return the states (B, T - hidden, d) that are matched, without a gradient; raise InputError."""
        with torch.no_grad():
            states_BTd = self.encoder.states(x_BTd, layer)[:, hidden:]
        if not bool(states_BTd.isfinite().all()):
            raise InputError(
                f"states of layer {layer} are not finite in {str(states_BTd.dtype).removeprefix('torch.')};"
                " take smaller embeddings or weights in float32"
            )
        return states_BTd

    def _search(
        self, start_BTd: Tensor, target_BTd: Tensor, layer: int, hidden: int
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings (B, T, d) at the end of all steps, and their losses (B,)."""
        b_BTd = start_BTd.clone().requires_grad_()
        optimiser = self.form.optimiser(b_BTd)
        for step in range(self.form.steps):
            states_BTd = self.encoder.states(self.unit * b_BTd, layer)[:, hidden:]
            losses_B = self.form.losses(states_BTd, target_BTd)
            (b_BTd.grad,) = torch.autograd.grad(losses_B.sum(), b_BTd)
            optimiser.param_groups[0]["lr"] = rate_of(self.form, step)
            optimiser.step()
        found_BTd = self.unit * b_BTd.detach()
        return found_BTd, self.form.losses(self._finite(found_BTd, layer, hidden), target_BTd)


def _generator(ids: Sequence[int], seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{ids}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def _normal(draws: Sequence[torch.Generator], like_BTd: Tensor) -> Tensor:
    """Return N(0, 1) numbers in the shape of `like_BTd`, drawn for each text by its own generator."""
    return torch.stack([torch.randn(like_BTd.shape[1:], generator=draw) for draw in draws]).to(like_BTd)


__all__ = ["Inversion", "States", "TextInversion"]
