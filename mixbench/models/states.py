"""What a probe reads of an encoder: its token embeddings, and the states of a layer computed from them.

Shapes: B texts of T tokens each, without padding; d width, V vocabulary. Layers are numbered from 1. The
states of a layer are what its block gives to the next; a norm after the last block does not enter them.
"""

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from transformers import PreTrainedModel

from mixbench.errors import InputError
from mixbench.models.mixer import MaskedMixer


class MixerStates:
    """The states of a masked mixer; a text shorter than the context is placed as its alignment says.

    Attributes:
        embedding: the module whose weight (V, d) holds a row a token.
        layers: how many blocks there are.
        context: most tokens of a text.
    """

    def __init__(self, mixer: MaskedMixer) -> None:
        self.mixer = mixer.eval()
        self.embedding = mixer.embedding
        self.layers = len(mixer.blocks)
        self.context = mixer.config.context

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        """Return the states (B, T, d) of `layer` for token embeddings (B, T, d)."""
        text_BT1 = torch.ones_like(x_BTd[..., :1])
        for block in self.mixer.blocks[:layer]:
            x_BTd = block(x_BTd, text_BT1)
        return x_BTd


class TransformerStates:
    """The states of a transformer that reads `inputs_embeds`; attributes as in `MixerStates`.

    Positions, and whatever else it adds to embeddings, it adds itself.

    Raises:
        InputError: it has no token embeddings, or no list of layers.
    """

    def __init__(self, network: PreTrainedModel, context: int) -> None:
        embedding = network.get_input_embeddings()
        if not isinstance(embedding, nn.Embedding):
            raise InputError(f"{type(network).__name__} has no token embeddings to start from")
        depth = getattr(network.config, "num_hidden_layers", 0)
        lists = (part for part in network.modules() if isinstance(part, nn.ModuleList))
        blocks = next((found for found in lists if len(found) == depth), None)
        if blocks is None:
            raise InputError(f"{type(network).__name__} has no list of {depth} layers to read states from")
        network.eval()  # type: ignore[no-untyped-call]
        self.network = network
        self.embedding, self.blocks = embedding, blocks
        self.layers, self.context = len(blocks), context

    def states(self, x_BTd: Tensor, layer: int) -> Tensor:
        """Return the states (B, T, d) of `layer` for token embeddings (B, T, d)."""
        hook = self.blocks[layer - 1].register_forward_hook(_leave)
        try:
            self.network(inputs_embeds=x_BTd, use_cache=False)
        except _Reached as reached:
            return reached.states_BTd
        finally:
            hook.remove()
        raise AssertionError(f"layer {layer} of {type(self.network).__name__} was not run")


class _Reached(Exception):
    """Leaves the forward pass at a layer: those above it are not worth their time."""

    def __init__(self, states_BTd: Tensor) -> None:
        self.states_BTd = states_BTd


def _leave(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
    raise _Reached(output[0] if isinstance(output, tuple) else output)


def open_states(model: SentenceTransformer) -> MixerStates | TransformerStates:
    """Return what a probe reads of an encoder; the two share its weights.

    Raises:
        InputError: it has no layers that compute states from token embeddings, as a static model.
    """
    network = model[0]
    if isinstance(network, MaskedMixer):
        return MixerStates(network)
    if isinstance(network, Transformer) and isinstance(network.auto_model, PreTrainedModel):
        positions = int(getattr(network.auto_model.config, "max_position_embeddings", 0) or 1 << 30)
        return TransformerStates(network.auto_model, min(network.max_seq_length or positions, positions))
    raise InputError(
        f"a model of {type(network).__name__} has no layers whose states could be inverted;"
        " take a masked mixer or a transformer"
    )
