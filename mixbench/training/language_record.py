"""The record of pretraining, mixbench.json, with the card and the curve that are rendered from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mixbench.data.texts import TextSource
from mixbench.training.language_checkpoint import History
from mixbench.training.language_config import AUTOENCODERS, PretrainConfig
from mixbench.training.loss_plot import LOSS_PLOT, loss_svg
from mixbench.training.record import RECORD_FILE, SCHEMA, Origin, package_versions, render_record, thinned

LANGUAGE_MODEL = ("A causal language model", "`head.safetensors` turns it into the language model again")
AUTOENCODER = (
    "The encoder of an autoencoder",
    "the decoder that it was trained with, of the same shape, was not kept",
)
"""What a model is, and what its folder keeps of it, by the card."""


@dataclass(frozen=True, kw_only=True)
class TextRead:
    """What is trained on: all ids (N,), in the order of their sources."""

    ids_N: np.ndarray[Any, Any]
    sources: Sequence[TextSource]


@dataclass(frozen=True, kw_only=True)
class LanguageOutcome:
    """What a run did. `tokens_seen` counts a token each time it was predicted."""

    history: History
    planned_steps: int
    stopped: bool
    tokens_seen: int
    unique_tokens: int
    held_tokens: int
    held_losses: Sequence[float]
    """Of each held-out window, by the last weights: models of one text, context and seed have the same."""
    peak_memory_bytes: int | None
    """Of the device, during the run; None on a CPU."""
    parameters: int
    device: str
    precision: str
    base_weights_sha256: str


def language_files(
    name: str, origin: Origin, config: PretrainConfig, text: TextRead, outcome: LanguageOutcome
) -> dict[str, str]:
    """Return record, card and curve of the model called `name`, by file name."""
    record = language_record(origin, config, text.sources, outcome)
    curve = loss_svg(record["loss"], record["validation_loss"])
    return {RECORD_FILE: render_record(record), "README.md": _card(name, record), LOSS_PLOT: curve}


def language_record(
    origin: Origin, config: PretrainConfig, sources: Sequence[TextSource], outcome: LanguageOutcome
) -> dict[str, Any]:
    """Return the record: JSON values only, nothing that depends on the time of day."""
    history, names = outcome.history, [source.name for source in sources]
    validation = [[step, round(loss, 5)] for step, loss in sorted(history.validation.items())]
    return {
        "schema": SCHEMA,
        "kind": "pretrain",
        **asdict(origin),
        "inherited": list(origin.inherited),
        "training_sources": list(dict.fromkeys([*origin.inherited, *names])),
        "sources": [{"name": source.name, "sha256": source.sha256} for source in sources],
        "config": asdict(config),
        "seed": config.seed,
        "versions": package_versions(),
        "device": outcome.device,
        "precision": outcome.precision,
        "base_weights_sha256": outcome.base_weights_sha256,
        "steps": history.step,
        "planned_steps": outcome.planned_steps,
        "stopped_early": outcome.stopped,
        "tokens_seen": outcome.tokens_seen,
        "unique_tokens": outcome.unique_tokens,
        "held_out_tokens": outcome.held_tokens,
        "parameters": outcome.parameters,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "epochs": round(outcome.tokens_seen / outcome.unique_tokens, 4),
        "seconds": round(history.seconds, 1),
        "tokens_per_second": round(outcome.tokens_seen / max(history.seconds, 1e-3)),
        "validation_loss": validation,
        "validation_curve": _curve(outcome),
        "held_out_losses": [round(loss, 5) for loss in outcome.held_losses],
        "loss": thinned(history.losses),
    }


def _curve(outcome: LanguageOutcome) -> list[dict[str, float]]:
    """Return the loss on held-out text by tokens seen and seconds of training."""
    history, tokens = outcome.history, outcome.tokens_seen / outcome.history.step
    return [
        {"tokens": round(step * tokens), "seconds": round(history.clock[step], 2), "loss": round(loss, 5)}
        for step, loss in sorted(history.validation.items())
    ]


def _card(name: str, record: Mapping[str, Any]) -> str:
    front = {"library_name": "sentence-transformers", "model_name": name}
    if record["licence"]:
        front["license"] = record["licence"]
    head = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items())
    step, loss = record["validation_loss"][-1]
    kind, kept = AUTOENCODER if record["config"]["objective"] in AUTOENCODERS else LANGUAGE_MODEL
    stop = ", stopped by its time limit" if record["stopped_early"] else ""
    rows = ["| source | sha256 |", "|---|---|"]
    rows += [f"| {source['name']} | `{source['sha256']}` |" for source in record["sources"]]
    versions = ", ".join(f"{key} {value}" for key, value in record["versions"].items() if value)
    sections = [
        f"---\n{head}---\n\n# {name}\n",
        f"{kind} trained from `{record['base']}`. Its folder opens as an encoder that is not"
        f" yet trained to retrieve; {kept}.\n",
        "## Training data\n\n" + "\n".join(rows) + "\n",
        f"Trained on, by itself or through what it started from: {', '.join(record['training_sources'])}.\n",
        f"## Run\n\n    {record['command'] or '(called from Python)'}\n",
        f"Seed {record['seed']}; {record['steps']} of {record['planned_steps']} steps{stop};"
        f" {record['tokens_seen']} tokens seen of {record['unique_tokens']} ({record['epochs']:g} epochs) at"
        f" {record['tokens_per_second']} a second on {record['device']} in {record['precision']}.\n",
        f"Loss held out ({record['held_out_tokens']} tokens): {loss:.4f} nats a token, step {step}.\n",
        f"Versions: {versions}.\n",
        f"![Loss by step]({LOSS_PLOT})\n",
        f"The whole record is in `{RECORD_FILE}`.\n",
    ]
    return "\n".join(sections)
