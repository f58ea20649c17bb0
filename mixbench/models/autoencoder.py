"""An encoder as half of an autoencoder: a window's one embedding, and a decoder that says its tokens again.

    z = pooled states          of the encoder's blocks, the last one or their mean, as the encoder pools
    logits = E norm(decoder(z, z, ..., z))

The decoder has the encoder's shape, weights of its own, and reads z at every position (arXiv 2409.01482). For
attention that is a handicap: equal inputs give equal values wherever it looks, so that all states of a Llama
are equal. Unrolled, position t reads z turned by t places, and values differ. The decoder is trained with the
encoder, and not kept: a folder holds the encoder alone.
"""

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

from mixbench.errors import InputError
from mixbench.models.language_model import LanguageModel
from mixbench.models.mixer import MaskedMixer


class Autoencoder(nn.Module):
    """Encoder and decoder around one embedding; the encoder's weights are those of `model`.

    Attributes:
        states: module from ids (B, T) to the decoder's states (B, T, d).
        head: module from states to logits (..., V), tied to the encoder's token embedding.
        tokenizer, context: as of `LanguageModel`.
        ahead: 0, what is predicted at a position is the token there.

    Raises:
        InputError: the encoder is neither a masked mixer nor a transformer that looks back only, it projects
            its embeddings, or its tokenizer has no end token.
    """

    ahead = 0

    def __init__(self, model: SentenceTransformer, seed: int = 0, *, unrolled: bool = False) -> None:
        super().__init__()
        language = LanguageModel(model)
        if any(isinstance(module, Dense) for module in model):
            raise InputError("an autoencoder embeds in its own width; leave out dimension")
        self.tokenizer, self.context = language.tokenizer, language.context
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder = _decoder(language.states.network).to(model.device)
        last = model[1].pooling_mode == "lasttoken"
        self.states = DecodedEmbedding(language.states, decoder, last=last, unrolled=unrolled)
        self.head = language.head

    def files(self) -> dict[str, bytes]:
        """Return what lies beside the encoder's files: nothing."""
        return {}


class DecodedEmbedding(nn.Module):
    """From ids (B, T) to one embedding of each row, repeated or unrolled, to decoded states (B, T, d)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, last: bool, unrolled: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.last, self.unrolled = encoder, decoder, last, unrolled

    def forward(self, ids_BT: Tensor) -> Tensor:
        states_BTd: Tensor = self.encoder(ids_BT)
        z_Bd = states_BTd[:, -1] if self.last else states_BTd.mean(1)
        tokens = ids_BT.shape[1]
        z_BTd = unrolled(z_Bd, tokens) if self.unrolled else z_Bd[:, None].expand(-1, tokens, -1)
        decoded_BTd: Tensor = self.decoder(z_BTd.contiguous())
        return decoded_BTd


def unrolled(z_Bd: Tensor, tokens: int) -> Tensor:
    """Return each embedding at all `tokens` positions, turned by as many places (B, T, d)."""
    width = z_Bd.shape[1]
    return z_Bd.repeat(1, 1 + -(-tokens // width)).unfold(1, width, 1)[:, :tokens]


class _MixerBlocks(nn.Module):
    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x_BTd: Tensor) -> Tensor:
        text_BT1 = torch.ones_like(x_BTd[..., :1])
        for block in self.blocks:
            x_BTd = block(x_BTd, text_BT1)
        return x_BTd


class _TransformerBlocks(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        network.set_input_embeddings(nn.Identity())  # it reads no ids, so it needs no row a token
        self.network = network

    def forward(self, x_BTd: Tensor) -> Tensor:
        states_BTd: Tensor = self.network(inputs_embeds=x_BTd, use_cache=False).last_hidden_state
        return states_BTd


def _decoder(network: MaskedMixer | Transformer) -> nn.Module:
    """Return random blocks of the shape of `network`, from (B, T, d) to (B, T, d)."""
    if isinstance(network, MaskedMixer):
        return _MixerBlocks(MaskedMixer(network.config, network.tokenizer).blocks)
    return _TransformerBlocks(type(network.auto_model)(network.auto_model.config))
