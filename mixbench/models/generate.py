"""Text from a language model, one token after another.

A plain mixer reads each token once: the normed states that token mixing needs of the tokens before are kept,
a row a token and layer, and only the new rows of each product are worked out. That needs every token to stay
where it is, so mixers generate left-aligned, whatever alignment retrieval uses. A transformer keeps the keys
and values of the tokens before. Variants of the mixer read the whole window again for each token.

Where the context is full, the last half of it (L // 2 tokens, the newest among them) becomes the new window.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor

from mixbench.models.language_model import LanguageModel, TokenStates
from mixbench.models.mixer import Block, MaskedMixer, TokenMixing
from mixbench.models.sampling import Sampling, choose


class Reader(Protocol):
    """What reads ids and keeps them as a window."""

    def restart(self) -> None:
        """Forget the window."""

    def read(self, ids: Sequence[int]) -> Tensor:
        """Add `ids` to the window; return the state (d,) of the last."""


class MixerReader:
    """A plain left-aligned mixer; keeps, for each layer, the normed states (L, d) of the tokens so far."""

    @staticmethod
    def can_read(network: object) -> bool:
        """Return whether `network` is a mixer each of whose blocks mixes tokens by one matrix."""
        return isinstance(network, MaskedMixer) and all(
            isinstance(block, Block) and type(block.token_mixing) is TokenMixing for block in network.blocks
        )

    def __init__(self, mixer: MaskedMixer) -> None:
        self.mixer = mixer
        config, weight = mixer.config, mixer.embedding.weight
        self.normed = [weight.new_zeros(config.context, config.width) for _ in mixer.blocks]
        self.blocks = [block for block in mixer.blocks if isinstance(block, Block)]
        self.tokens = 0

    def restart(self) -> None:
        self.tokens = 0

    def read(self, ids: Sequence[int]) -> Tensor:
        first, last = self.tokens, self.tokens + len(ids)
        x_Nd = self.mixer.embedding(torch.tensor(ids, device=self.mixer.embedding.weight.device))
        for block, normed_Ld in zip(self.blocks, self.normed, strict=True):
            normed_Ld[first:last] = block.token_norm(x_Nd)
            mixing = block.token_mixing
            assert isinstance(mixing, TokenMixing)
            rows_NT = mixing.weight[first:last, :last].tril(first)
            x_Nd = x_Nd + rows_NT @ normed_Ld[:last] + mixing.bias[first:last, None]
            x_Nd = x_Nd + block.channel_mixing(block.channel_norm(x_Nd))
        self.tokens = last
        state_d: Tensor = x_Nd[-1]
        return state_d


class TransformerReader:
    """A causal transformer; keeps the keys and values of the tokens so far, as transformers' own cache."""

    def __init__(self, network: Transformer) -> None:
        self.network = network.auto_model
        self.restart()

    def restart(self) -> None:
        self.cache: object = None

    def read(self, ids: Sequence[int]) -> Tensor:
        ids_1T = torch.tensor([ids], device=self.network.device)
        output = self.network(input_ids=ids_1T, past_key_values=self.cache, use_cache=True)
        self.cache = output.past_key_values
        state_d: Tensor = output.last_hidden_state[0, -1]
        return state_d


class WholeReader:
    """Any causal network, which reads its whole window again."""

    def __init__(self, states: TokenStates) -> None:
        self.states = states
        self.ids: list[int] = []

    def restart(self) -> None:
        self.ids = []

    def read(self, ids: Sequence[int]) -> Tensor:
        self.ids += ids
        device = next(self.states.parameters()).device
        state_d: Tensor = self.states(torch.tensor([self.ids], device=device))[0, -1]
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
    reader: Reader = WholeReader(TokenStates(network))
    if isinstance(network, MaskedMixer) and MixerReader.can_read(network):
        reader = MixerReader(network)
    elif isinstance(network, Transformer):
        reader = TransformerReader(network)
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
