"""Small models of each kind, and their exported folders, for the tests of what is exported."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixbench.experiments.publishing import run_export
from mixbench.models.build import build_mixer_encoder, build_static_encoder, build_transformer_encoder
from mixbench.models.load import model_folder
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

SENTENCE = "the lift of a wing in a flow over a flat plate is not its drag at mach 2.5 "
TEXTS = [
    "",
    " \n",
    "wing",
    "Ünïcode 混合 😀",
    *((30 * SENTENCE)[: 6 * size**2] for size in range(1, 17)),
]
VARIANTS: dict[str, dict[str, Any]] = {
    "groups": {"groups": 4},
    "heads": {"heads": 4, "causal": False},
    "kernel": {"kernel": 3},
    "hybrid": {"attention_every": 2},
    "identity": {"mixing": "none"},
}
MIXERS, TWINS = ["shipped", "left", *VARIANTS], ["twin", "bi-twin", "gpt", "static"]
MODELS = [*MIXERS, *TWINS]


def build(folder: Path) -> dict[str, Path]:
    """Write a model of each kind below `folder`; the shipped one is where it is."""
    save_tokenizer(train_tokenizer(2 * [SENTENCE], 400), folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    sizes = {"width": 64, "depth": 1, "context": 16}
    left = build_mixer_encoder({**sizes, "alignment": "left"}, tokenizer, seed=1, pooling="mean")
    left.max_seq_length = 9
    left.prompts = {"query": "find: ", "document": ""}
    left.save(str(folder / "left"), create_model_card=False)
    for name, kind in (("twin", {}), ("bi-twin", {"causal": False}), ("gpt", {"gpt": True})):
        twin = build_transformer_encoder({**sizes, "feedforward": 48, **kind}, tokenizer, seed=1)
        twin.save(str(folder / name), create_model_card=False)
    for name, variant in VARIANTS.items():
        mixer = build_mixer_encoder({**sizes, "depth": 2, **variant}, tokenizer, seed=1, pooling="mean")
        mixer.save(str(folder / name), create_model_card=False)
    static = build_static_encoder(16, tokenizer, seed=1)
    static.save(str(folder / "static"), create_model_card=False)
    return {"shipped": model_folder("mixer-tiny"), **{name: folder / name for name in MODELS[1:]}}


class Exported(NamedTuple):
    """Folders of models, and where each is exported to."""

    sources: dict[str, Path]
    folder: Path


def export_all(factory: pytest.TempPathFactory) -> Exported:
    """Export each model to a folder of its name."""
    sources, folder = build(factory.mktemp("sources")), factory.mktemp("exported")
    for name, source in sources.items():
        run_export("mixer-tiny" if name == "shipped" else str(source), folder / name)
    return Exported(sources, folder)
