"""The masked mixer of arXiv 2409.01482, section 3: a transformer whose attention is one learned matrix.

Shapes: B texts, T tokens of the longest text, L context, d width, V vocabulary; `x_BTd` has shape (B, T, d).

    x = E[ids]
    x = x + tril(W) norm(x) + b        token mixing: W (L, L) and b (L) are shared by all d channels
    x = x + feedforward(norm(x))       channel mixing: d -> 4d -> GELU -> d
    repeated `depth` times, without positions, without a final norm

Three things differ from the original code, and none from the paper's mathematics:

- The mask is a function of the weight. The original zeroes the parameter itself in each forward, so that a
  saved checkpoint holds whatever the last optimiser step left above the diagonal.
- A text of T < L tokens uses a T x T corner of W: the first rows (alignment "left") or the last ones
  ("right", where the final token is always mixed by the last row).
- Padding is zeroed before it is mixed, so that neither a batch's width nor its other texts change a state.

That is the plain mixer. `token_mixing.py` has the variants that `MixerConfig` can choose in its place.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from mixbench.errors import CheckpointError, MixbenchError
from mixbench.files import parse_json
from mixbench.models.mixer_config import MixerConfig
from mixbench.models.storage import expand
from mixbench.models.token_mixing import Attention, TokenMixing, token_mixing
from mixbench.models.tokenizer import read_tokenizer, save_tokenizer

CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE = "mixer_config.json", "model.safetensors", "tokenizer.json"
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    MixbenchError,
)


def channel_mixing(config: MixerConfig) -> nn.Sequential:
    """Return the feedforward of a block: d -> expansion d -> GELU -> d."""
    hidden = config.expansion * config.width
    return nn.Sequential(nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width))


class Block(nn.Module):
    """Token mixing, then channel mixing, each normalised before and added to what it reads."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(config.width)
        self.token_mixing = token_mixing(config)
        self.channel_norm = nn.LayerNorm(config.width)
        self.channel_mixing = channel_mixing(config)

    def forward(self, x_BTd: Tensor, text_BT1: Tensor) -> Tensor:
        x_BTd = x_BTd + self.token_mixing(self.token_norm(x_BTd) * text_BT1)
        mixed_BTd: Tensor = x_BTd + self.channel_mixing(self.channel_norm(x_BTd))
        return mixed_BTd


class AttentionBlock(nn.Module):
    """Self-attention, then channel mixing: what every n-th block of a hybrid is."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, causal=config.causal)
        self.channel_norm = nn.LayerNorm(config.width)
        self.channel_mixing = channel_mixing(config)

    def forward(self, x_BTd: Tensor, text_BT1: Tensor) -> Tensor:
        x_BTd = x_BTd + self.attention(self.attention_norm(x_BTd), text_BT1)
        mixed_BTd: Tensor = x_BTd + self.channel_mixing(self.channel_norm(x_BTd))
        return mixed_BTd


class ChannelBlock(nn.Module):
    """Channel mixing alone, a control: no token sees another."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.channel_norm = nn.LayerNorm(config.width)
        self.channel_mixing = channel_mixing(config)

    def forward(self, x_BTd: Tensor, _: Tensor) -> Tensor:
        mixed_BTd: Tensor = x_BTd + self.channel_mixing(self.channel_norm(x_BTd))
        return mixed_BTd


BLOCKS: dict[str, type[nn.Module]] = {"matrix": Block, "attention": AttentionBlock, "none": ChannelBlock}


class MaskedMixer(InputModule):
    """A masked mixer as a sentence-transformers input module: texts in, one state a token out.

    Args:
        config: shape of the network.
        tokenizer: turns texts into ids below `config.vocabulary`; pads on the right.
        max_seq_length: longest text in tokens, the final `<|endoftext|>` included; at most the context.
    """

    def __init__(
        self, config: MixerConfig, tokenizer: PreTrainedTokenizerFast, max_seq_length: int | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if len(tokenizer) > config.vocabulary:
            raise CheckpointError(
                f"the tokenizer has {len(tokenizer)} tokens, the mixer {config.vocabulary}: "
                "use its own tokenizer"
            )
        self.config = config
        self.tokenizer = tokenizer
        self.max_seq_length = config.context if max_seq_length is None else max_seq_length
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(
            BLOCKS[config.block(number)](config) for number in range(1, config.depth + 1)
        )

    tokenizer: PreTrainedTokenizerFast
    only_tokenises = True
    """Of `preprocess`: no text is treated in another way than the rest."""

    @property
    def max_seq_length(self) -> int:
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        if not 1 <= tokens <= self.config.context:
            raise ValueError(
                f"max_seq_length must lie in 1 to {self.config.context}, the context; not {tokens!r}"
            )
        self._max_seq_length = tokens

    def get_embedding_dimension(self) -> int:
        """Return the width d of a token's state."""
        return self.config.width

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, T), padded on the right to the longest text."""
        texts = [f"{prompt}{text}" for text in inputs] if prompt else list(inputs)
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_seq_length
        )  # asked for tensors, the library walks through all numbers in Python first
        return {name: torch.tensor(encoded[name]) for name in ("input_ids", "attention_mask")}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add `token_embeddings` (B, T, d). With alignment "right" texts leave padded on the left, ids too.

        Raises:
            ValueError: T is more than the context.
        """
        ids_BT, mask_BT = features["input_ids"], features["attention_mask"]
        if ids_BT.shape[1] > self.config.context:
            raise ValueError(f"{ids_BT.shape[1]} tokens do not fit the context of {self.config.context}")
        if self.config.alignment == "right":
            ids_BT, mask_BT = _push_right(ids_BT, mask_BT)
        text_BT1 = mask_BT[..., None].to(self.embedding.weight.dtype)
        x_BTd = self.embedding(ids_BT)
        for block in self.blocks:
            x_BTd = block(x_BTd, text_BT1)
        return {**features, "input_ids": ids_BT, "attention_mask": mask_BT, "token_embeddings": x_BTd}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write configuration, weights (safetensors) and tokenizer into the folder `output_path`."""
        folder = Path(output_path)
        config = {**self.config.stored(), "max_seq_length": self.max_seq_length}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
        save_file(
            {name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS_FILE
        )
        # Encoding leaves its last length and padding in the tokenizer; on disk they would change the hash.
        tokenizer = copy.deepcopy(self.tokenizer.backend_tokenizer)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        save_tokenizer(tokenizer, folder / TOKENIZER_FILE)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **_: Any,
    ) -> Self:
        """Read what `save` wrote, from a folder or the hub, also where the weights were shrunk.

        Raises:
            CheckpointError: a file is missing or damaged, or does not fit the configuration.
        """
        folder = Path(model_name_or_path, subfolder)
        try:
            found = cls.load_dir_path(
                model_name_or_path, subfolder, token, cache_folder, revision, local_files_only
            )
            folder = Path(found or folder)
            settings = parse_json((folder / CONFIG_FILE).read_text())
            if not isinstance(settings, dict) or "max_seq_length" not in settings:
                raise ValueError(f"{CONFIG_FILE} is no shape of a mixer")
            max_seq_length, tokenizer = (
                settings.pop("max_seq_length"),
                read_tokenizer(folder / TOKENIZER_FILE),
            )
            config, weights = MixerConfig(**settings), expand(load_file(folder / WEIGHTS_FILE))
            _check_shapes(config, tokenizer, weights)
            mixer = cls(config, tokenizer, max_seq_length)
            mixer.load_state_dict(weights)
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{folder}: no masked mixer can be read here ({reason})") from error
        return mixer


def _check_shapes(
    config: MixerConfig, tokenizer: PreTrainedTokenizerFast, weights: dict[str, Tensor]
) -> None:
    """Raise ValueError where `weights` are not those of a mixer of this shape, which takes no memory yet."""
    if config.depth > len(weights):
        raise ValueError(f"{CONFIG_FILE} has {config.depth} blocks, {WEIGHTS_FILE} {len(weights)} weights")
    with torch.device("meta"):
        wanted = MaskedMixer(config, tokenizer).state_dict()
    for name, value in wanted.items():
        if name in weights and weights[name].shape != value.shape:
            found, shape = tuple(weights[name].shape), tuple(value.shape)
            raise ValueError(f"{WEIGHTS_FILE}: {name!r} has shape {found}, by {CONFIG_FILE} it has {shape}")


def _push_right(ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Move each row's text to the end of the row. The text may be padded on either side, not inside."""
    tokens = ids_BT.shape[1]
    after_text_B1 = (
        tokens - 1 - (mask_BT * torch.arange(tokens, device=mask_BT.device)).argmax(1, keepdim=True)
    )
    source_BT = (torch.arange(tokens, device=ids_BT.device) - after_text_B1) % tokens
    return ids_BT.gather(1, source_BT), mask_BT.gather(1, source_BT)


__all__ = ["MaskedMixer", "MixerConfig", "TokenMixing"]
