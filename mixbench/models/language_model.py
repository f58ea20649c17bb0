"""A causal encoder as a language model: its states, a norm of its own, and logits tied to its embedding.

    logits = E norm(states)        E (V, d) is the encoder's token embedding

Mixers have no final norm, so the head brings one; transformers keep their own before it. The gain of the
head's starts at 1 / (d rms(E)), in a residual network that keeps E[id] in a token's state: the logit of the
token itself starts near 1 and those of others near 0, so that the first loss is close to ln V whatever the
embedding's initial size.

The head is the file `head.safetensors` beside the model, which opens as an encoder with it or without.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn

from mixbench.errors import CheckpointError, InputError
from mixbench.models.mixer import MaskedMixer
from mixbench.models.transformer import looks_back_only

HEAD_FILE = "head.safetensors"


class LanguageHead(nn.Module):
    """From states (..., d) to logits (..., V), by a norm of its own and the encoder's embedding."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight_Vd = embedding.weight
        self.embedding = embedding
        self.norm = nn.LayerNorm(weight_Vd.shape[1], device=weight_Vd.device)
        gain = 1 / (weight_Vd.shape[1] * float(weight_Vd.detach().float().square().mean().sqrt()))
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, states: Tensor) -> Tensor:
        logits: Tensor = nn.functional.linear(self.norm(states), self.embedding.weight)
        return logits


class TokenStates(nn.Module):
    """From ids (B, T), without padding, to states (B, T, d)."""

    def __init__(self, network: MaskedMixer | Transformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids_BT: Tensor) -> Tensor:
        if isinstance(self.network, MaskedMixer):
            features: dict[str, Any] = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}
            states_BTd: Tensor = self.network(features)["token_embeddings"]
            return states_BTd
        found: Tensor = self.network.auto_model(input_ids=ids_BT, use_cache=False).last_hidden_state
        return found


class LanguageModel(nn.Module):
    """The language model in an encoder, whose weights it shares.

    Attributes:
        states: module from ids (B, T) to states (B, T, d).
        head: module from states to logits (..., V).
        tokenizer: the encoder's; its end token stands between documents.
        context: most tokens read at once.
        ahead: 1, what is predicted at a position is the token after it.

    Raises:
        InputError: the encoder is neither a masked mixer nor a transformer that looks back only, or its
            tokenizer has no end token.
    """

    ahead = 1

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        network = model[0]
        if isinstance(network, MaskedMixer) and network.config.causal:
            embedding, self.context = network.embedding, network.config.context
        elif isinstance(network, Transformer) and looks_back_only(network.auto_model):
            embedding = network.auto_model.get_input_embeddings()
            self.context = int(network.auto_model.config.max_position_embeddings)
        else:
            raise InputError(
                "this model does not look back only, so it cannot predict the next token;"
                " take a masked mixer or a causal twin"
            )
        if network.tokenizer.eos_token_id is None:
            raise InputError("the model's tokenizer has no end token to put between documents")
        self.tokenizer = network.tokenizer
        self.states = TokenStates(network)
        self.head = LanguageHead(embedding)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return logits (B, T, V) of the token after each."""
        logits_BTV: Tensor = self.head(self.states(ids_BT))
        return logits_BTV

    def left_aligned(self) -> "MaskedMixer | Transformer":
        """Return the network as it reads growing texts: a right-aligned mixer as its left-aligned copy.

        On a full window, as in pretraining, alignment makes no difference. The copy shares the weights.
        """
        network = self.states.network
        if not isinstance(network, MaskedMixer) or network.config.alignment == "left":
            return network
        with torch.device("meta"):  # no weights of its own, and no random number drawn for them
            copy = MaskedMixer(replace(network.config, alignment="left"), network.tokenizer)
        copy.load_state_dict(network.state_dict(), assign=True)
        return copy

    def files(self) -> dict[str, bytes]:
        """Return what lies beside the encoder's files: the norm of the head."""
        state = {name: value.contiguous() for name, value in self.head.norm.state_dict().items()}
        return {HEAD_FILE: save(state)}

    def load_head(self, folder: Path) -> bool:
        """Read the head beside a model; return whether there is one.

        Raises:
            CheckpointError: it is damaged or of another width.
        """
        path = folder / HEAD_FILE
        if not path.is_file():
            return False
        try:
            self.head.norm.load_state_dict(load_file(path))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: cannot be read as this model's head ({reason})") from error
        return True
