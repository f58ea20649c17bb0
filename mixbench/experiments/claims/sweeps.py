"""Sweeps: a language model with three learning rates at one seed, and the best of them with two more seeds.

    [sweeps.mixer-c32]
    commands = ["pretrain {mixer512} {c32} {lm}"]     and the other fields of a run, which all five share

makes the runs lm-mixer-c32-rate1 to -rate3, and lm-mixer-c32-seed1 and -seed2, whose rate is picked when they
start, with their records and curves in lm/. In a comparison "sweep mixer-c32" is the best of them with its
seeds. A run with `rate_of = "mixer-c32"` has that rate for {rate}.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.run_list import Pick
from mixbench.training.loss_plot import LOSS_PLOT

RATES = ("rate1", "rate2", "rate3")
SEEDS = ("seed1", "seed2")
LOSSES = "held_out_losses"
MARK = "sweep "

Sweeps = Mapping[str, tuple[Path, dict[str, Any]]]
"""The file that states a sweep, and its fields, by name."""


def read_sweeps(stated: Sequence[tuple[Path, Mapping[str, dict[str, Any]]]]) -> Sweeps:
    """Return the sweeps of all files. Raises InputError for a name that is there twice."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, bodies in stated:
        for name, body in bodies.items():
            if name in found:
                raise InputError.at(path, None, f"sweep {name!r} is there twice")
            found[name] = (path, body)
    return found


def runs_of_sweeps(path: Path, sweeps: Sweeps) -> dict[str, dict[str, Any]]:
    """Return the runs, as TOML would state them, of the sweeps that the file `path` has."""
    runs = {}
    for name, (own, body) in sweeps.items():
        if own != path:
            continue
        for part in (*RATES, *SEEDS):
            rate = f"{{{part}}}" if part in RATES else f"{{rate}} --seed {part.removeprefix('seed')}"
            runs[f"lm-{name}-{part}"] = {
                **body,
                "commands": [
                    f"{command} --learning-rate {rate} -o {{work}}/lm/{name}-{part}"
                    for command in body.get("commands", ())
                ],
                "proof": [_record(name, part), f"lm/{name}-{part}/{LOSS_PLOT}"],
                **({"rate_of": name} if part in SEEDS else {}),
            }
    return runs


def with_rate(path: Path, body: Mapping[str, Any], sweeps: Sweeps) -> dict[str, Any]:
    """Return the fields of a run with its `rate_of` as a pick, and what that needs.

    Raises UnknownName where there is no such sweep.
    """
    if "rate_of" not in body:
        return dict(body)
    name = _known(body["rate_of"], sweeps)
    choice = Pick(among=[_record(name, rate) for rate in RATES], lowest=LOSSES, take="config.learning_rate")
    needs = [*body.get("needs", ()), *(f"lm-{name}-{rate}" for rate in RATES)]
    rest = {key: value for key, value in body.items() if key != "rate_of"}
    return {**rest, "needs": needs, "picks": {"rate": choice}}


def with_sweeps(comparison: Mapping[str, Any], sweeps: Sweeps) -> dict[str, Any]:
    """Return the fields of a comparison with the references of the sweeps that it names.

    Raises UnknownName where there is no such sweep.
    """
    found = dict(comparison)
    for side in ("a", "b"):
        stated = comparison.get(side)
        if isinstance(stated, str) and stated.startswith(MARK):
            name = _known(stated.removeprefix(MARK), sweeps)
            found[side] = [f"{_record(name, rate)}#{LOSSES}" for rate in RATES]
            found[f"seeds_{side}"] = [f"{_record(name, seed)}#{LOSSES}" for seed in SEEDS]
    return found


def _known(name: str, sweeps: Sweeps) -> str:
    if name not in sweeps:
        raise UnknownName.of("sweep", name, sweeps)
    return name


def _record(name: str, part: str) -> str:
    return f"lm/{name}-{part}/mixbench.json"
