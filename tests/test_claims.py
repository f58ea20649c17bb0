"""The table of the paper's claims: every claim is there, whole, and its commands exist."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from test_docs import parse

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.claims.claim import FOLDER, SCALES, Comparison, read_claims
from mixbench.experiments.claims.judging import judge
from mixbench.experiments.claims.rules import Figure
from mixbench.experiments.picking import pick
from mixbench.experiments.run_list import PLACEHOLDER, fill, in_order
from mixbench.experiments.shaping import read_changes

FAMILIES = {"R": 6, "T": 11, "F": 5, "P": 3, "A": 2, "Q": 5, "N": 9, "I": 1, "X": 5}
"""How many claims there are of each kind; the paper makes all but the last."""
CLAIM = """
[[claims]]
id = "X1"
says = "One is small."
paper = "1"
setting = "here"
data = "none"
comparisons = []
"""
VALUES = {"work": "W", "text": "T", "pairs": "P", "device": "cpu"}
TABLES = {scale: read_claims(scale) for scale in SCALES}


def test_every_claim_of_the_paper_is_there_and_twenty_and_more_are_run() -> None:
    claims = TABLES["full"].claims
    assert list(claims) == [f"{family}{n + 1}" for family, count in FAMILIES.items() for n in range(count)]
    assert sum(not claim.untested for claim in claims.values()) >= 20
    assert all(claim.says and claim.paper for claim in claims.values())


@pytest.mark.parametrize("scale", SCALES)
def test_every_command_parses_with_every_placeholder_given(scale: str) -> None:
    seen = set()
    for run in TABLES[scale].runs:
        for command in fill(run, VALUES):
            line = " ".join(command).replace("{rate}", "1e-3")
            if line not in seen:
                parse(f"mixbench {line}")
            seen.add(line)
    assert len(seen) > 60


def shapes(scale: str) -> dict[str, tuple[str, dict[str, int]]]:
    """Return the preset and the settings, checked, of each run that trains a language model."""
    found = {}
    for run in TABLES[scale].runs:
        verb, base, *words = run.commands[0]
        if verb == "pretrain":
            settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
            found[run.name] = base, read_changes(base, settings)
    return found


@pytest.mark.parametrize("scale", SCALES)
def test_every_language_model_can_have_the_sizes_that_are_set(scale: str) -> None:
    assert len(shapes(scale)) > 40


def test_twins_have_the_parameters_of_their_mixers() -> None:
    models = shapes("full")

    def parameters(name: str) -> int:
        """Those without the embedding, by the formulas of blocks of mixers and of Llamas."""
        base, size = models[name]
        d, tokens = size["width"], size["context"]
        if base == "small":
            return size["depth"] * (8 * d * d + 9 * d + tokens * tokens + tokens)
        return size["depth"] * (4 * d * d + 3 * d * size["feedforward"] + 2 * d) + d

    twins = [name for name, (base, _) in models.items() if base == "small-twin" and "heads" not in name]
    assert len(twins) > 10
    for name in twins:
        mixer = name.replace("twin", "mixer")
        assert parameters(name) == pytest.approx(parameters(mixer), rel=0.05), name


@pytest.mark.parametrize("scale", SCALES)
def test_every_figure_is_of_a_file_that_a_run_makes_and_every_run_is_used(scale: str) -> None:
    table = TABLES[scale]
    used = table.runs_of([claim for claim in table.claims.values() if not claim.untested])
    assert {run.name for run in used} == {run.name for run in table.runs}
    references = [
        reference
        for claim in table.claims.values()
        for comparison in claim.comparisons
        for side in comparison.sides
        for reference in side
    ]
    assert [reference for reference in references if PLACEHOLDER.search(reference)] == []


def test_a_portion_fits_into_25_minutes_needs_no_other_and_all_fit_into_150() -> None:
    table = TABLES["full"]
    runs = in_order(table.runs)
    claims = [claim for claim in table.claims.values() if not claim.untested]
    portions = {run.portion for run in runs} - {0}
    assert portions == set(range(1, 9))
    for portion in portions:
        own = table.runs_of(claims, portion)
        assert sum(run.minutes for run in own) <= 25, portion
        assert {run.portion for run in own} <= {0, portion}
    assert sum(run.minutes for run in runs) <= 150


def test_the_first_three_portions_decide_most_claims() -> None:
    table = TABLES["full"]
    early = [
        claim.id
        for claim in table.claims.values()
        if not claim.untested and all(run.portion <= 3 for run in table.runs_of([claim]))
    ]
    assert len(early) >= 20


def test_language_models_read_no_text_more_than_four_times() -> None:
    """The text without what is held out: measured with the shipped tokenizer, in tokens."""
    books, abstracts = 22_500_000, 42_701 * 244 * 0.99
    values = tomllib.loads((FOLDER / "values.toml").read_text(encoding="utf-8"))["full"]
    steps = {name: int(value.split("--max-steps ")[1].split()[0]) for name, value in values.items()
             if name.startswith("lm")}  # fmt: skip
    for name, count in steps.items():
        text = abstracts if "{work}/arxiv" in values[name] else books
        assert count * 65_536 <= 4 * text, name


SWEEP = """
[sweeps.one]
commands = ["pretrain tiny"]
minutes = 2

[runs.beside]
commands = ["pretrain tiny --learning-rate {rate} -o {work}/lm/beside"]
proof = ["lm/beside/mixbench.json"]
rate_of = "one"
"""


def swept(folder: Path, losses: dict[str, list[float]], others: float) -> Figure | None:
    """Return the first figure of a comparison of a sweep of these held-out losses with plain ones."""
    sides = 'rule = "lower", a = "sweep one", b = "lm/beside/mixbench.json#held_out_losses"'
    family = SWEEP + re.sub(r"comparisons = .*", f'comparisons = [{{ says = "x", {sides} }}]', CLAIM)
    for part, values in {**losses, "beside": [others, others]}.items():
        path = folder / "lm" / (part if part == "beside" else f"one-{part}") / "mixbench.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"held_out_losses": values, "config": {"learning_rate": float(part[-1])}}
                                   if part != "beside" else {"held_out_losses": values}))  # fmt: skip
    (compared,) = judge(read(folder, family).claims["X1"], folder).compared
    return compared.a


def test_a_sweep_is_three_rates_and_two_more_seeds_of_the_best(tmp_path: Path) -> None:
    losses = {
        "rate1": [3.0, 3.2],
        "rate2": [2.0, 2.2],
        "rate3": [4.0, 4.2],
        "seed1": [2.1, 2.3],
        "seed2": [2.2, 2.4],
    }
    figure = swept(tmp_path, losses, 3.0)
    assert figure is not None
    assert [each.value for each in figure.seeds] == pytest.approx([2.1, 2.2, 2.3])
    assert figure.value == pytest.approx(2.2)
    table = read_claims("full", tmp_path)
    runs = {run.name: run for run in table.runs}
    assert list(runs) == [
        "lm-one-rate1",
        "lm-one-rate2",
        "lm-one-rate3",
        "lm-one-seed1",
        "lm-one-seed2",
        "beside",
    ]
    assert runs["lm-one-seed2"].commands == [
        ("pretrain", "tiny", "--learning-rate", "{rate}", "--seed", "2", "-o", "{work}/lm/one-seed2")
    ]
    assert runs["beside"].needs == ["lm-one-rate1", "lm-one-rate2", "lm-one-rate3"]
    for name in ("lm-one-seed1", "lm-one-seed2", "beside"):
        assert pick(runs[name].picks["rate"], tmp_path) == "2.0"


def test_a_sweep_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="sweep 'ones'; did you mean 'one'"):
        read(tmp_path, SWEEP.replace('rate_of = "one"', 'rate_of = "ones"') + CLAIM)


def test_scales_differ_in_their_values_alone() -> None:
    full, smoke = TABLES["full"], TABLES["smoke"]
    shape = [[(run.name, run.proof, run.needs, run.portion) for run in table.runs] for table in (full, smoke)]
    assert shape[0] == shape[1]
    assert [run.commands for run in full.runs] != [run.commands for run in smoke.runs]
    assert list(full.claims) == list(smoke.claims)


VALUES_FILE = '[full]\nsize = "--set width=8"\nn = "32"\n[smoke]\nsize = ""\nn = "4"\n'
FAMILY = """
[runs.one]
commands = ["pretrain tiny {size} -o {work}/one"]
printed = "one.json"

[[claims]]
id = "X1"
says = "One is small."
paper = "1"
setting = "here"
data = "none"
comparisons = [{ says = "small", rule = "below", limit = 2, a = "one.json#rows[n={n}].x" }]
"""


def read(folder: Path, family: str, scale: str = "full"):
    (folder / "values.toml").write_text(VALUES_FILE)
    (folder / "1-x.toml").write_text(family)
    return read_claims(scale, folder)


def test_values_of_a_scale_are_put_into_commands_and_references(tmp_path: Path) -> None:
    full, smoke = read(tmp_path, FAMILY), read(tmp_path, FAMILY, "smoke")
    assert full.runs[0].commands == [("pretrain", "tiny", "--set", "width=8", "-o", "{work}/one")]
    assert smoke.runs[0].commands == [("pretrain", "tiny", "-o", "{work}/one")]
    assert smoke.claims["X1"].comparisons[0].a == "one.json#rows[n=4].x"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[runs.one]", "colour = 1\n[runs.one]", r"unknown keys \['colour'\]"),
        ('printed = "one.json"', 'prints = "one.json"', r"unknown keys \['prints'\] of a run"),
        ('says = "One', 'sais = "One', r"unknown keys \['sais'\] of a claim"),
        ('paper = "1"\n', "", "a claim that is not whole"),
        ('data = "none"\n', "", "claim 'X1': say its setting and its data"),
        ('rule = "below", limit = 2', 'rule = "shown"', "give a comparison that is judged"),
        ('data = "none"', 'data = "none"\nuntested = "why"', "give comparisons, or say why it is untested"),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_refused(tmp_path: Path, old, new, message) -> None:
    assert old in FAMILY
    with pytest.raises(InputError, match=message):
        read(tmp_path, FAMILY.replace(old, new))


def test_a_claim_is_there_once_and_its_files_are_made_by_one_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="claim 'X1' is there twice"):
        read(tmp_path, FAMILY + FAMILY[FAMILY.index("[[claims]]") :])
    table = read(tmp_path, FAMILY.replace('printed = "one.json"', 'printed = "two.json"'))
    with pytest.raises(InputError, match=r"claim 'X1': no run makes one\.json"):
        table.runs_of([table.claims["X1"]])
    second = '[runs.two]\ncommands = ["list models"]\nprinted = "one.json"\n'
    table = read(tmp_path, FAMILY + second)
    with pytest.raises(InputError, match=r"runs 'one' and 'two' both make one\.json"):
        table.runs_of([table.claims["X1"]])


def test_rules_and_scales_are_named_or_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="rule 'lover'; did you mean 'lower'"):
        Comparison(says="x", rule="lover", a="a.json#x", b="b.json#x")
    with pytest.raises(InputError, match="rule 'lower' and b do not go together"):
        Comparison(says="x", rule="lower", a="a.json#x")
    with pytest.raises(UnknownName, match="scale 'ful'; did you mean 'full'"):
        read(tmp_path, FAMILY, "ful")


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (None, "not run yet"),
        ('{"rows": [{"n": 32, "x": 1}]}', "holds"),
        ('{"rows": [{"n": 32, "x": 3}]}', "fails"),
        ('{"rows": [{"n": 32, "x": null}]}', "not measured"),
        ('{"rows": [{"n": 32, "x": {"mean": 2, "low": 1, "high": 3}}]}', "undecided"),
    ],
)
def test_a_claim_is_judged_by_its_evidence(tmp_path: Path, evidence: str | None, verdict: str) -> None:
    claim = read(tmp_path, FAMILY).claims["X1"]
    if evidence is not None:
        (tmp_path / "one.json").write_text(evidence)
    judged = judge(claim, tmp_path)
    assert (judged.verdict, len(judged.compared)) == (verdict, evidence is not None)


def test_the_best_of_several_figures_counts_and_what_is_shown_is_not_judged(tmp_path: Path) -> None:
    two = '["one.json#a", "one.json#b"]'
    compared = (
        f'{{ says = "best", rule = "lower", a = {two}, b = "one.json#c" }},'
        f'{{ says = "most", rule = "higher", best = "highest", a = {two}, b = "one.json#c" }},'
        '{ says = "unit", rule = "times", limit = 3, times = 3, a = "one.json#a", b = "one.json#c" },'
        '{ says = "beside", rule = "shown", a = "one.json#d" }'
    )
    family = re.sub(r"comparisons = .*", f"comparisons = [{compared}]", FAMILY)
    (tmp_path / "one.json").write_text('{"a": 5, "b": 1, "c": 4, "d": 7}')
    judged = judge(read(tmp_path, family).claims["X1"], tmp_path)
    assert [(each.a and each.a.value, each.answer) for each in judged.compared] == [
        (1, "yes"),
        (5, "yes"),
        (15, "yes"),
        (7, None),
    ]
    assert judged.verdict == "holds"
