"""Opening a cross-encoder, without running code that is not ours and without reading pickles.

sentence-transformers would make a cross-encoder of any encoder by a head of random weights, would read
pickled weights where there are no others, and would call what the folder names as activation. Here a folder
without a trained head is refused, so is one with pickles alone, and the activation is the identity.
"""

from pathlib import Path

from safetensors import safe_open
from sentence_transformers import CrossEncoder
from torch import nn

from mixbench.errors import CheckpointError
from mixbench.files import parse_json
from mixbench.models.load import refuse_pickles
from mixbench.models.opening import opening, try_tokenizer


def load_cross_encoder(folder: Path, *, device: str = "cpu") -> CrossEncoder:
    """Open the cross-encoder in `folder`, its activation the identity.

    Raises:
        CheckpointError: the folder is damaged, holds pickled weights, foreign code or no cross-encoder.
    """
    refuse_pickles(folder)
    with opening(f"{folder}: cannot be opened as a cross-encoder"):
        _check_kind(folder)
        model: CrossEncoder = CrossEncoder(
            str(folder),
            device=device,
            local_files_only=True,
            activation_fn=nn.Identity(),
            model_kwargs={"use_safetensors": True},
        )
        _check_head(model, folder)
        try_tokenizer(lambda text: model.preprocess([(text, text)]))
        return model


def _check_kind(folder: Path) -> None:
    """Raise CheckpointError for a folder that does not say that it is a cross-encoder."""
    settings = folder / "config_sentence_transformers.json"
    kind = parse_json(settings.read_text()).get("model_type") if settings.is_file() else None
    if kind == "CrossEncoder":
        return
    config = folder / "config.json"
    architectures = parse_json(config.read_text()).get("architectures") or [] if config.is_file() else []
    if kind is not None or not any(name.endswith("ForSequenceClassification") for name in architectures):
        found = kind or ", ".join(architectures) or "no architecture"
        raise CheckpointError(
            f"{folder}: is no cross-encoder but {found}; give one, or rerank by an encoder with maxsim:MODEL"
        )


def _check_head(model: CrossEncoder, folder: Path) -> None:
    """Raise CheckpointError where weights above the encoder are in no file, and so are random."""
    network = model.model
    if network is None:
        return
    stored: set[str] = set()
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            stored.update(weights.keys())
    inside = f"{network.base_model_prefix}."
    head = [name for name, _ in network.named_parameters() if not name.startswith(inside)]
    tied = set(getattr(network, "all_tied_weights_keys", None) or ())
    missing = [name for name in head if name not in stored and name not in tied]
    if missing:
        raise CheckpointError(
            f"{folder}: its weights lack {missing[0]!r}, without which scores are random; train it to rerank"
        )
