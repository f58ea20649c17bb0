"""The record of a training run, mixbench.json, and the model card that is rendered from it."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from mixbench.data.pairs import Pairs, PairSource
from mixbench.training.config import TrainConfig
from mixbench.training.teacher_store import TeacherCard

SCHEMA = 1
RECORD_FILE = "mixbench.json"
PACKAGES = ("mixbench", "torch", "transformers", "sentence-transformers", "datasets", "accelerate")
CURVE_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run comes from: what only the caller knows.

    `base` names the model that training started from, `earlier_commands` made that model, the oldest first,
    and `inherited` is what it, and a teacher, were trained on before; `licence` is the new weights'.
    `teacher` is the name of what a student was distilled from, with the hash of its files.
    """

    base: str
    command: str = ""
    earlier_commands: Sequence[str] = ()
    base_sha256: str = ""
    teacher: str = ""
    teacher_sha256: str = ""
    inherited: Sequence[str] = ()
    licence: str = ""
    notes: str = ""

    def taught_by(self, teacher: TeacherCard) -> "Origin":
        """Return the origin of a student of `teacher`, which inherits what the teacher was trained on."""
        inherited = tuple(dict.fromkeys([*self.inherited, *(teacher.training_sources or ())]))
        return replace(self, teacher=teacher.name, teacher_sha256=teacher.sha256, inherited=inherited)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did; `seconds` and `timed_examples` (pairs) only since step `resumed_from`.

    `losses` holds (step, mean loss since the step before in it), `dev_scores` step -> nDCG@10, step 0 being
    the model as it came.
    """

    steps: int
    planned_steps: int
    resumed_from: int
    best_step: int
    stopped: bool
    examples: int
    timed_examples: int
    seconds: float
    losses: Sequence[tuple[int, float]]
    dev_scores: Mapping[int, float]
    device: str
    precision: str
    base_weights_sha256: str


def weights_sha256(model: torch.nn.Module) -> str:
    """Return one SHA-256 over a model's weights and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def make_record(
    origin: Origin, config: TrainConfig, sources: Sequence[PairSource], dev: Sequence[Pairs], outcome: Outcome
) -> dict[str, Any]:
    """Return the record: JSON values only, nothing that depends on the time of day."""
    names = [source.pairs.name for source in sources]
    return {
        "schema": SCHEMA,
        **asdict(origin),
        "earlier_commands": list(origin.earlier_commands),
        "inherited": list(origin.inherited),
        "training_sources": list(dict.fromkeys([*origin.inherited, *names])),
        "sources": [_source(source) for source in sources],
        "dev": [{"name": pairs.name, "pairs": len(pairs), "sha256": pairs.sha256} for pairs in dev],
        "config": asdict(config),
        "seed": config.seed,
        "versions": package_versions(),
        "device": outcome.device,
        "precision": outcome.precision,
        "base_weights_sha256": outcome.base_weights_sha256,
        "steps": outcome.steps,
        "planned_steps": outcome.planned_steps,
        "resumed_from": outcome.resumed_from,
        "stopped_early": outcome.stopped,
        "best_step": outcome.best_step,
        "examples": outcome.examples,
        "seconds": round(outcome.seconds, 1),
        "pairs_per_second": round(outcome.timed_examples / max(outcome.seconds, 1e-3), 1),
        "dev_ndcg_at_10": [[step, round(score, 5)] for step, score in sorted(outcome.dev_scores.items())],
        "loss": thinned(outcome.losses),
    }


def gained_nothing(record: Mapping[str, Any]) -> bool:
    """Return whether the model as it came scores higher on dev pairs than at any later step."""
    scores = dict(record["dev_ndcg_at_10"])
    return 0 in scores and len(scores) > 1 and scores.pop(0) > max(scores.values())


def render_record(record: Mapping[str, Any]) -> str:
    """Return the record as JSON, one key a line."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _source(source: PairSource) -> dict[str, Any]:
    return {
        "name": source.pairs.name,
        "pairs": len(source.pairs),
        "sha256": source.pairs.sha256,
        "read_sha256": source.read_sha256 or source.pairs.sha256,
        "weight": source.weight,
        "licence": source.licence,
        "excluded": dict(source.excluded),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that training runs on; empty for one not there."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    return versions


def thinned(points: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Return at most `CURVE_POINTS` points, first and last among them."""
    last = len(points) - 1
    kept = range(last + 1) if last < CURVE_POINTS else _spread(last, CURVE_POINTS)
    return [[points[position][0], round(points[position][1], 5)] for position in kept]


def _spread(last: int, count: int) -> list[int]:
    return sorted({round(position * last / (count - 1)) for position in range(count)})


def model_card(name: str, record: Mapping[str, Any]) -> str:
    """Return README.md for the model called `name`: everything in it is read from `record`."""
    front = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "model_name": name,
    }
    if record["licence"]:
        front["license"] = record["licence"]
    head = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items())
    temperature, versions = record["config"]["temperature"], record["versions"].items()
    sections = [
        f"---\n{head}---\n\n# {name}\n",
        f"A text embedder trained from `{record['base']}` with cosine InfoNCE and in-batch negatives "
        f"(temperature {temperature}).\n",
        _teacher_sentence(record),
        f"{record['notes']}\n" if record["notes"] else "",
        "## Training data\n\n" + _data_table(record),
        f"Trained on, by itself or through what it started from: {', '.join(record['training_sources'])}.\n",
        "## Run\n\n" + _commands(record),
        _run_sentence(record),
        "Versions: " + ", ".join(f"{key} {value}" for key, value in versions if value) + ".\n",
        "## Curve\n\n" + _curve_table(record),
        f"The whole record is in `{RECORD_FILE}`.\n",
    ]
    return "\n".join(section for section in sections if section)


def _teacher_sentence(record: Mapping[str, Any]) -> str:
    if not record["teacher"]:
        return ""
    config = record["config"]
    return (
        f"Distilled from `{record['teacher']}` (SHA-256 `{record['teacher_sha256']}`): the loss is "
        f"{config['infonce_weight']:g} InfoNCE + {config['teacher_weight']:g} distillation.\n"
    )


def _commands(record: Mapping[str, Any]) -> str:
    commands = [*record.get("earlier_commands", ()), record["command"] or "(called from Python)"]
    return "".join(f"    {command}\n" for command in commands)


def _run_sentence(record: Mapping[str, Any]) -> str:
    stop = ", stopped by its time limit" if record["stopped_early"] else ""
    choice = ", the best on dev pairs" if record["dev"] else ""
    if gained_nothing(record):
        choice = ", the best of this run on dev pairs, though what it started from scores higher on them"
    return (
        f"Seed {record['seed']}; {record['steps']} of {record['planned_steps']} steps{stop}; "
        f"{record['examples']} pairs at {record['pairs_per_second']} a second on {record['device']} "
        f"in {record['precision']}; "
        f"weights of step {record['best_step']}{choice}.\n"
    )


def _data_table(record: Mapping[str, Any]) -> str:
    rows = ["| source | pairs | weight | excluded | licence | sha256 |", "|---|--:|--:|---|---|---|"]
    for source in record["sources"]:
        excluded = ", ".join(f"{key} {count}" for key, count in source["excluded"].items()) or "none"
        cells = (source["pairs"], source["weight"], excluded, source["licence"], f"`{source['sha256']}`")
        rows.append(f"| {source['name']} | " + " | ".join(map(str, cells)) + " |")
    for source in record["dev"]:
        rows.append(f"| {source['name']} (dev, held out) | {source['pairs']} | | | | `{source['sha256']}` |")
    return "\n".join(rows) + "\n"


def _curve_table(record: Mapping[str, Any]) -> str:
    losses, scores = dict(record["loss"]), dict(record["dev_ndcg_at_10"])
    steps = sorted({*scores, *_thin(list(losses))})
    rows = ["| step | loss | dev nDCG@10 |", "|--:|--:|--:|"]
    for step in steps:
        loss = f"{losses[step]:.4f}" if step in losses else ""
        rows.append(f"| {step} | {loss} | {f'{scores[step]:.4f}' if step in scores else ''} |")
    return "\n".join(rows) + "\n"


def _thin(steps: list[int]) -> list[int]:
    return steps if len(steps) <= 12 else [steps[position] for position in _spread(len(steps) - 1, 12)]
