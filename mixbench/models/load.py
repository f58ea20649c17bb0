"""Opening an encoder from a folder or the hub, without running code that is not ours.

sentence-transformers runs whatever code a folder names once `trust_remote_code` is set, and refuses every
foreign module otherwise, ours included. So a folder with a masked mixer is put together here, of the classes
below; anything else is opened by sentence-transformers itself, which then refuses foreign code. An exported
mixer is put together of these classes too: the code in its folder, for others to run, is never read here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from torch import nn

from mixbench.errors import CheckpointError, InputError
from mixbench.files import parse_json, sha256_files
from mixbench.interop.foreign_code import foreign_code
from mixbench.models.end_token import add_end_token
from mixbench.models.mixer import MaskedMixer
from mixbench.models.opening import opening, try_tokenizer
from mixbench.models.transformer import leave_out_padding_mask
from mixbench.models.weights import cast_weights, check_four_bit, four_bit_arguments

SHIPPED = ("mixer-tiny",)
OURS = "mixbench."
EXPORTED = "masked_mixer.MaskedMixer"
"""What modules.json of an exported mixer calls its class: a file in the folder, and the class in it."""
PICKLED = ("pytorch_model*.bin", "adapter_model*.bin")
"""Weights that the libraries would read where there are no others."""
UNUSED_ON_HUB = ["onnx/*", "openvino/*", "*.msgpack", "*.h5", "*.ot", "*.tflite", "coreml/*"]
CLASSES: dict[str, type[Any]] = {
    "mixbench.models.mixer.MaskedMixer": MaskedMixer,
    EXPORTED: MaskedMixer,
    "Pooling": Pooling,
    "Normalize": Normalize,
    "Dense": Dense,
}


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "cpu",
    offline: bool = False,
    dtype: str | None = None,
    four_bit: bool = False,
    trust_remote_code: bool = False,
) -> SentenceTransformer:
    """Open a shipped model by name, a model folder, or a model of the hub.

    `dtype` is that of the weights ("float32", "bfloat16", "float16", or "int8" of linear layers); None keeps
    the model's own. With `four_bit` those of a transformer are held in 4 bits and computed in `dtype`, in
    float16 where that is None. Code that lies in the folder runs only with `trust_remote_code`.

    Raises:
        CheckpointError: the folder is damaged, holds code that is not ours, or no weights for 4 bits; or the
            hub does not give it.
        InputError: torch has no such `device` here.
        UnknownName: there is no such `dtype`.
        MixbenchError: 4-bit weights without the package that they need.
    """
    folder = model_folder(name_or_path, offline=offline)
    with _device_told(device):
        torch.empty(0, device=device)
    with _code_told(name_or_path), opening(f"{name_or_path}: cannot be opened as a model"):
        refuse_pickles(folder)
        entries = module_entries(folder)
        if any(entry["type"] == EXPORTED or entry["type"].startswith(OURS) for entry in entries):
            model = _assemble(folder, entries, device)
        else:
            arguments = four_bit_arguments(dtype, device) if four_bit else {}
            model = SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                model_kwargs={"use_safetensors": True, **arguments},
            )
            add_end_token(model, folder)
            leave_out_padding_mask(model[0])
        try_tokenizer(lambda text: model.preprocess([text]))
    if not four_bit:
        return cast_weights(model, dtype)
    check_four_bit(model, str(name_or_path))
    return model


def model_folder(name_or_path: str | Path, *, revision: str | None = None, offline: bool = False) -> Path:
    """Return the folder of a shipped model, of a path, or of a model of the hub, which is downloaded.

    A `Path` is never a shipped model's name: `./mixer-tiny` and `mixer-tiny` are the same path.

    Raises:
        CheckpointError: there is none; the hub gives no such model, or was not asked, being offline.
    """
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        return Path(str(files("mixbench.models"))) / "shipped" / name_or_path
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                str(name_or_path), revision=revision, local_files_only=offline, ignore_patterns=UNUSED_ON_HUB
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"model {str(name_or_path)!r} is no folder here and the hub does not give it"
            f" ({type(error).__name__}); check the spelling, or download it and name its folder"
        ) from error


def model_sha256(folder: Path, *, code: bool = False) -> str:
    """Return one SHA-256 over the files of a model folder that decide its embeddings, with `code` that too.

    Cards, records of training, optimiser states and heads of language models do not enter.
    """
    kept = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix in {".json", ".safetensors", ".txt", ".model", ".bin", *([".py"] if code else [])}
        and path.relative_to(folder).parts[0] not in {"checkpoints", "mixbench.json", "head.safetensors"}
    ]
    if not kept:
        raise CheckpointError(f"{folder}: holds no model files")
    return sha256_files(folder, kept)


def place(model: SentenceTransformer, device: str) -> SentenceTransformer:
    """Move `model` to `device`. Raises InputError for a device that torch does not have here."""
    with _device_told(device):
        return model.to(device)


@contextmanager
def _device_told(device: str) -> Iterator[None]:
    """Say what to do where torch refuses `device`."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        raise InputError(f"device {device!r} cannot be used ({reason}); try --device cpu") from error


def refuse_pickles(folder: Path) -> None:
    """Raise CheckpointError where weights lie in a pickle that has no safetensors beside it."""
    for pattern in PICKLED:
        for path in sorted(folder.rglob(pattern)):
            if not list(path.parent.glob("*.safetensors")):
                raise CheckpointError(
                    f"{path}: pickled weights are never read; save the model again with safetensors"
                )


@contextmanager
def _code_told(name: str | Path) -> Iterator[None]:
    """Say how to trust a folder's code where the libraries refused it."""
    try:
        yield
    except CheckpointError as error:
        if "trust_remote_code" in str(error.__cause__):
            raise CheckpointError(foreign_code(str(name))) from error
        raise


def module_entries(folder: Path) -> list[dict[str, str]]:
    """Return the modules that modules.json of a folder lists, in order: `type`, and `path` of its files."""
    path = folder / "modules.json"
    entries = parse_json(path.read_text()) if path.is_file() else []
    if not isinstance(entries, list) or not all(map(_is_module, entries)):
        raise CheckpointError(
            f"{path}: no list of modules, each with a type and a path; save the model again"
        )
    return entries


def _is_module(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("type", "path"))


def _assemble(folder: Path, entries: list[dict[str, str]], device: str) -> SentenceTransformer:
    modules: list[nn.Module] = []
    for entry in entries:
        kind = entry["type"]
        name = kind.rsplit(".", 1)[-1] if kind.startswith("sentence_transformers.") else kind
        if name not in CLASSES:
            raise CheckpointError(
                f"{folder / 'modules.json'}: module {kind!r} is not one that a mixer is built of"
            )
        modules.append(CLASSES[name].load(str(folder), subfolder=entry["path"]))
    settings_file = folder / "config_sentence_transformers.json"
    settings = parse_json(settings_file.read_text()) if settings_file.is_file() else {}
    return SentenceTransformer(
        modules=modules,
        device=device,
        prompts=settings.get("prompts"),
        default_prompt_name=settings.get("default_prompt_name"),
        similarity_fn_name=settings.get("similarity_fn_name"),
    )
