"""What mixes the tokens of a masked mixer: the paper's one matrix, and variants of it.

Shapes: B texts, T tokens, L context, d width; G groups or heads of c = d / G channels; K kernel. Each weight
ends in (L, L) and each bias in (L), of which a text of T tokens uses the T x T corner that its alignment
names. What is read is zero in the padding, so no mixing may add anything to it before tokens are mixed.

`TOKEN_MIXINGS` names the classes by `MixerConfig.token_mixing`. All start uniform in +-1/sqrt(L), as torch
starts the paper's convolution of kernel 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.backends.cuda import flash_sdp_enabled
from torch.nn.functional import conv1d, pad, scaled_dot_product_attention

from mixbench.models.mixer_config import HEAD_WIDTH, MixerConfig

STRIP = 512
"""Rows of a causal matrix that a CPU multiplies at once, where it has more, without the columns beyond."""


def _whole(weight: Tensor) -> Tensor:
    """Mask nothing: what stands in for `torch.tril` where later tokens are mixed too."""
    return weight


class TokenMixing(nn.Module):
    """A causal convolution over tokens: each becomes a weighted sum of itself and those before it."""

    def __init__(
        self,
        context: int,
        alignment: str,
        *,
        causal: bool = True,
        matrices: tuple[int, ...] = (),
        biases: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        bound = context**-0.5
        self.weight = nn.Parameter(torch.empty(*matrices, context, context).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(*biases, context).uniform_(-bound, bound))
        self.alignment = alignment
        self.masked: Callable[[Tensor], Tensor] = torch.tril if causal else _whole

    def corner(self, tokens: int) -> tuple[Tensor, Tensor]:
        """Return the masked weight (..., T, T) and the bias (..., T, 1) for texts of T `tokens`."""
        rows = self._rows(tokens)
        return self.masked(self.weight[..., rows, rows]), self.bias[..., rows, None]

    def forward(self, x_BTd: Tensor) -> Tensor:
        if self._may_be_in_strips(x_BTd):
            return self._in_strips(x_BTd)
        weight_TT, bias_T1 = self.corner(x_BTd.shape[1])
        if x_BTd.is_cuda:
            # A product a text: by @ torch copies the transposed texts into one, 5 % of a training step. A CPU
            # would rather do that than hold a gradient of the matrix for each text.
            return torch.bmm(weight_TT.expand(len(x_BTd), -1, -1), x_BTd) + bias_T1
        mixed_BTd: Tensor = weight_TT @ x_BTd + bias_T1
        return mixed_BTd

    def _rows(self, tokens: int) -> slice:
        context = self.bias.shape[-1]
        return slice(0, tokens) if self.alignment == "left" else slice(context - tokens, context)

    def _may_be_in_strips(self, x_BTd: Tensor) -> bool:
        """Return whether strips are as fast or faster: not with gradients, each as large as the matrix.

        Where torch is told to attend by the plain formula, tokens are mixed by it too: so operations are
        counted, and a model has as many on each device.
        """
        if self.masked is not torch.tril or x_BTd.device.type != "cpu" or torch.is_grad_enabled():
            return False
        # Asked last, of few: a compiler guards the length, and cannot follow the question.
        return x_BTd.shape[1] > STRIP and flash_sdp_enabled()  # type: ignore[no-untyped-call]

    def _in_strips(self, x_BTd: Tensor) -> Tensor:
        rows = self._rows(x_BTd.shape[1])
        weight_TT, bias_T1 = self.weight[rows, rows], self.bias[rows, None]
        strips = []
        for first in range(0, len(bias_T1), STRIP):
            last = first + STRIP
            weight_St = torch.tril(weight_TT[first:last, :last], diagonal=first)
            strips.append(weight_St @ x_BTd[:, :last] + bias_T1[first:last])
        return torch.cat(strips, dim=1)


class GroupedMixing(TokenMixing):
    """A matrix (L, L) and a bias (L) of its own for each group of neighbouring channels."""

    def __init__(self, context: int, alignment: str, groups: int, *, causal: bool = True) -> None:
        super().__init__(context, alignment, causal=causal, matrices=(groups,), biases=(groups,))
        self.groups = groups

    def forward(self, x_BTd: Tensor) -> Tensor:
        batch, tokens, width = x_BTd.shape
        weight_GTT, bias_GT1 = self.corner(tokens)
        # Texts side by side: one product a group. Slower by a third as a product of each text and group.
        x_BTGc = x_BTd.reshape(batch, tokens, self.groups, width // self.groups)
        x_GTn = x_BTGc.permute(2, 1, 0, 3).reshape(self.groups, tokens, -1)
        mixed_GTBc = torch.baddbmm(bias_GT1, weight_GTT, x_GTn).view(self.groups, tokens, batch, -1)
        return mixed_GTBc.permute(2, 1, 0, 3).reshape(batch, tokens, width)


class HeadMixing(nn.Module):
    """Grouped mixing of projected channels, projected again: the paper's multi-headed mixer.

    The projections (d, d) have no bias. One before the mixing would fill the padding.
    """

    def __init__(self, context: int, alignment: str, heads: int, width: int, *, causal: bool = True) -> None:
        super().__init__()
        self.into_heads = nn.Linear(width, width, bias=False)
        self.mixing = GroupedMixing(context, alignment, heads, causal=causal)
        self.out_of_heads = nn.Linear(width, width, bias=False)

    def forward(self, x_BTd: Tensor) -> Tensor:
        mixed_BTd: Tensor = self.out_of_heads(self.mixing(self.into_heads(x_BTd)))
        return mixed_BTd


class KernelMixing(TokenMixing):
    """A convolution over channels whose K taps are matrices (L, L): K neighbouring channels enter each sum.

    Channel c reads channels c - (K - 1) // 2 to c + K // 2; beyond the first and the last there are zeros.
    """

    def __init__(self, context: int, alignment: str, kernel: int, *, causal: bool = True) -> None:
        super().__init__(context, alignment, causal=causal, matrices=(kernel,))
        self.kernel = kernel

    def forward(self, x_BTd: Tensor) -> Tensor:
        weight_KTT, bias_T1 = self.corner(x_BTd.shape[1])
        padded_BTn = pad(x_BTd, ((self.kernel - 1) // 2, self.kernel // 2))
        return conv1d(padded_BTn, weight_KTT.permute(1, 2, 0), bias_T1[:, 0])


class Attention(nn.Module):
    """Self-attention in heads of 64 channels, without positions: those come from the mixing blocks before."""

    def __init__(self, width: int, *, causal: bool = True) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.causal = causal

    def forward(self, x_BTd: Tensor, text_BT1: Tensor) -> Tensor:
        tokens = x_BTd.shape[1]
        heads_BTHc = self.queries_keys_values(x_BTd).unflatten(2, (-1, HEAD_WIDTH))
        query, key, value = heads_BTHc.transpose(1, 2).chunk(3, dim=1)
        seen_B1TT = self._seen(tokens, text_BT1)
        mixed_BHTc = scaled_dot_product_attention(query, key, value, attn_mask=seen_B1TT)
        mixed_BTd: Tensor = self.out(mixed_BHTc.transpose(1, 2).flatten(2))
        return mixed_BTd

    def _seen(self, tokens: int, text_BT1: Tensor) -> Tensor:
        """Return which tokens each sees: those of the text, up to itself; itself even in the padding."""
        every_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=text_BT1.device)
        itself_TT = torch.eye(tokens, dtype=torch.bool, device=text_BT1.device)
        allowed_TT = every_TT.tril() if self.causal else every_TT
        return (allowed_TT & (text_BT1 > 0).mT | itself_TT)[:, None]


TOKEN_MIXINGS: dict[str, Callable[[MixerConfig], nn.Module]] = {
    "flat": lambda config: TokenMixing(config.context, config.alignment, causal=config.causal),
    "groups": lambda config: GroupedMixing(
        config.context, config.alignment, config.groups, causal=config.causal
    ),
    "heads": lambda config: HeadMixing(
        config.context, config.alignment, config.heads, config.width, causal=config.causal
    ),
    "kernel": lambda config: KernelMixing(
        config.context, config.alignment, config.kernel, causal=config.causal
    ),
}


def token_mixing(config: MixerConfig) -> nn.Module:
    """Return the token mixing that `config` chooses; it maps (B, T, d) to (B, T, d)."""
    return TOKEN_MIXINGS[config.token_mixing](config)
