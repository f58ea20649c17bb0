"""Text from a language model, one token after another.

A mixer reads each token once: the normed states that token mixing needs of the tokens before are kept, a row
a token and layer, and only the new rows of each product are worked out. That needs every token to stay where
it is, so mixers generate left-aligned, whatever alignment retrieval uses. Transformers read the whole window
again for each token.

Where the context is full, the last half of it (L // 2 tokens, the newest among them) becomes the new window.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor

from mixbench.models.language_model import LanguageModel
from mixbench.models.mixer import Block, MaskedMixer
from mixbench.models.sampling import Sampling, choose


class Reader(Protocol):
    """What reads ids and keeps them as a window."""

    def restart(self) -> None:
        """Forget the window."""

    def read(self, ids: Sequence[int]) -> Tensor:
        """Add `ids` to the window; return the state (d,) of the last."""


class MixerReader:
    """A left-aligned mixer that keeps, for each layer, the normed states (L, d) of the tokens so far."""

    def __init__(self, mixer: MaskedMixer) -> None:
        self.mixer = mixer
        config, weight = mixer.config, mixer.embedding.weight
        self.normed = [weight.new_zeros(config.context, config.width) for _ in mixer.blocks]
        self.blocks = cast(list[Block], list(mixer.blocks))
        self.tokens = 0

    def restart(self) -> None:
        self.tokens = 0

    def read(self, ids: Sequence[int]) -> Tensor:
        first, last = self.tokens, self.tokens + len(ids)
        x_Nd = self.mixer.embedding(torch.tensor(ids, device=self.mixer.embedding.weight.device))
        for block, normed_Ld in zip(self.blocks, self.normed, strict=True):
            normed_Ld[first:last] = block.token_norm(x_Nd)
            mixing = block.token_mixing
            rows_NT = mixing.weight[first:last, :last].tril(first)
            x_Nd = x_Nd + rows_NT @ normed_Ld[:last] + mixing.bias[first:last, None]
            x_Nd = x_Nd + block.channel_mixing(block.channel_norm(x_Nd))
        self.tokens = last
        state_d: Tensor = x_Nd[-1]
        return state_d


class WholeReader:
    """A causal transformer that reads its whole window again."""

    def __init__(self, network: Transformer) -> None:
        self.network = network
        self.ids: list[int] = []

    def restart(self) -> None:
        self.ids = []

    def read(self, ids: Sequence[int]) -> Tensor:
        self.ids += ids
        ids_1T = torch.tensor([self.ids], device=self.network.auto_model.device)
        state_d: Tensor = self.network.auto_model(input_ids=ids_1T, use_cache=False).last_hidden_state[0, -1]
        return state_d


def generate(model: LanguageModel, prompt: str, tokens: int, sampling: Sampling) -> str:
    """Return what follows `prompt`: at most `tokens` tokens, up to the end of the document.

    The prompt is read as the start of a document, so an empty one will do.
    """
    tokenizer = model.tokenizer
    end = int(tokenizer.eos_token_id)
    ids = [end, *tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]]
    new: list[int] = []
    for token in continuation(model, ids, sampling):
        if token == end or len(new) == tokens:
            break
        new.append(token)
    return str(tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@torch.inference_mode()
def continuation(model: LanguageModel, ids: Sequence[int], sampling: Sampling) -> Iterator[int]:
    """Yield the tokens after `ids` (at least one), without end."""
    model.eval()
    network, generator = model.left_aligned(), torch.Generator().manual_seed(sampling.seed)
    reader: Reader = MixerReader(network) if isinstance(network, MaskedMixer) else WholeReader(network)
    window, unread = list(ids), list(ids)
    while True:
        if len(window) > model.context:
            window = window[-max(1, model.context // 2) :]
            reader.restart()
            unread = window
        token = choose(model.head(reader.read(unread)), sampling, generator)
        window.append(token)
        unread = [token]
        yield token
