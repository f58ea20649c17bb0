"""Late interaction from any encoder: the state of each token in place of one pooled embedding.

sentence-transformers' MultiVectorEncoder does the encoding. Its own conversion takes none of our mixers, and
adds a projection of random weights to an encoder that has none; here nothing is added that was not trained.
"""

import copy
from pathlib import Path

from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from torch import nn
from transformers import PreTrainedTokenizerBase

from mixbench.errors import CheckpointError
from mixbench.files import parse_json
from mixbench.models.load import refuse_pickles
from mixbench.models.mixer import MaskedMixer
from mixbench.models.opening import opening, try_tokenizer

NATIVE = ("MultiVectorEncoder", "ColBERT")
"""Kinds of folders, by their own word, that were trained for late interaction."""


def as_late_interaction(model: SentenceTransformer, name: str) -> MultiVectorEncoder:
    """Return `model` with a unit vector for each token of a text, padding and special tokens left out.

    Pooling and what normalises its result are dropped, a projection behind them is applied to each token. The
    weights are shared with `model`. Raises CheckpointError naming `name` for a model without token states.
    """
    first, *rest = model
    if not isinstance(first, Transformer | MaskedMixer):
        raise CheckpointError(f"model {name!r}: its {type(first).__name__} gives no vector for each token")
    modules: list[nn.Module] = [first]
    for module in rest:
        if isinstance(module, Dense):
            modules.append(_for_tokens(module))
        elif not isinstance(module, Pooling | Normalize):
            raise CheckpointError(
                f"model {name!r}: its {type(module).__name__} cannot be applied to single tokens"
            )
    skipped = _special_tokens(model.tokenizer)
    modules += [
        MultiVectorMask(skipped, skiplist_tasks=["query", "document"]),
        Normalize(module_input_name="token_embeddings"),
    ]
    return MultiVectorEncoder(modules=modules, device=str(model.device))


def load_late_interaction(folder: Path, *, device: str = "cpu") -> MultiVectorEncoder | None:
    """Open a model that was trained for late interaction; None where the folder holds another kind.

    Raises:
        CheckpointError: the folder is damaged, or holds pickled weights or foreign code.
    """
    with opening(f"{folder}: cannot be opened for late interaction"):
        settings = folder / "config_sentence_transformers.json"
        if not settings.is_file() or parse_json(settings.read_text()).get("model_type") not in NATIVE:
            return None
        refuse_pickles(folder)
        model = MultiVectorEncoder(
            str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
        try_tokenizer(lambda text: model.preprocess([text]))
        return model


def _for_tokens(dense: Dense) -> Dense:
    """Return a projection that reads and writes token states, with the weights of `dense`."""
    redirected = copy.copy(dense)
    redirected.module_input_name = redirected.module_output_name = "token_embeddings"
    return redirected


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the marks that a tokenizer adds; not the one for unknown words, which stands for text."""
    return sorted(set(tokenizer.all_special_tokens) - {tokenizer.unk_token})
