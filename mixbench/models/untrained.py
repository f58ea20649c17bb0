"""The same network before any training: a control, which shows what training is worth."""

import copy

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense

from mixbench.errors import InputError
from mixbench.models.mixer import MaskedMixer


def untrained_copy(model: SentenceTransformer, seed: int = 0) -> SentenceTransformer:
    """Return a copy of an encoder with random weights of `seed`, as its network starts with.

    Raises:
        InputError: it is neither a masked mixer nor a transformer.
    """
    made = copy.deepcopy(model)
    network = made[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(network, MaskedMixer):
            network.load_state_dict(MaskedMixer(network.config, network.tokenizer).state_dict())
        elif isinstance(network, Transformer):
            inner = network.auto_model
            # A pooler that nobody reads may be in the one and not in the other.
            inner.load_state_dict(type(inner)(inner.config).state_dict(), strict=False)
        else:
            raise InputError(f"there is no untrained network of {type(network).__name__} to compare with")
        for module in made:
            if isinstance(module, Dense):
                module.linear.reset_parameters()
    return made
