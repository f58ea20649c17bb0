"""The page of the paper's claims: every verdict beside the paper's number, ours, and what proves it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixbench.experiments.claims.claim import Claim, ClaimTable
from mixbench.experiments.claims.evidence import kept_of
from mixbench.experiments.claims.figures import read_evidence
from mixbench.experiments.claims.judging import NOT_RUN, NOT_TESTED, Compared, Judged, judge
from mixbench.experiments.claims.rules import PAIRED, Figure, difference
from mixbench.experiments.run_list import Run
from mixbench.experiments.run_record import read_record
from mixbench.training.loss_plot import LOSS_PLOT
from mixbench.training.record import RECORD_FILE

EVIDENCE = "evidence"
VERDICTS = ("holds", "holds in part", "fails", "undecided", "not measured", NOT_RUN, NOT_TESTED)
HEAD = """# The claims of arXiv 2409.01482

Each claim of the paper on masked mixers, tested again at a scale of minutes on one GPU and on other data. The
rules were written down before the runs, in `mixbench/experiments/claims/`. The paper's numbers are quoted for
reference; they come from other data, sizes and hours, and only the direction is compared.

A claim holds where each of its comparisons is answered yes, in part where one is, and fails where none is. An
answer is yes or no only where the whole 95 % interval lies on one side, else it is unclear, and a claim with
nothing but no and unclear is undecided. Differences of language models are paired over the same held-out
windows, and those of pools over the same queries; other figures compare the ends of two intervals. Where
models were trained with three seeds, differences are taken seed by seed, and the interval is that of their
mean; all other models have one seed, and what another would change is in no interval. The learning rate that
is best of three is chosen by the held-out loss that is then shown, for every family alike; where it is the
highest of the three, a still higher one may be better. Beside the record of each run of such a choice lies
its loss by step, loss.svg.
"""


SMOKE = """**Tiny models on embedded data: this shows that all of it runs, and tells nothing of any claim.**
"""


def render_page(table: ClaimTable, folder: Path) -> str:
    """Return the page in Markdown of all claims, from the evidence in `folder`.

    Raises InputError where evidence cannot be read.
    """
    judged = [judge(claim, folder / EVIDENCE) for claim in table.claims.values()]
    tested = [each for each in judged if each.verdict != NOT_TESTED]
    lines = [HEAD, *([SMOKE] if table.scale != "full" else []), _summary(judged), "## Tested here", ""]
    lines += ["| claim | verdict | what it says | the paper's number | ours | setting and data | proof |"]
    lines += ["|---|---|---|---|---|---|---|", *(_row(each, table, folder) for each in tested), ""]
    lines += [
        "## Not tested here",
        "",
        "| claim | what it says | the paper's number | why |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {each.claim.id} | {each.claim.says} | {each.claim.paper} | {each.claim.untested} |"
        for each in judged
        if each.verdict == NOT_TESTED
    ]
    lines += ["", "## Where it ran", "", *_places(table, folder / EVIDENCE)]
    return "\n".join(lines).rstrip() + "\n"


def shown(figure: Figure | None) -> str:
    """Return a figure as pages have it, with its interval where it has one; a dash for none."""
    if figure is None:
        return "–"
    ends = "" if figure.low == figure.high else f" ({_number(figure.low)} to {_number(figure.high)})"
    return _number(figure.value) + ends


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _summary(judged: Sequence[Judged]) -> str:
    counts = Counter(each.verdict for each in judged)
    said = ", ".join(f"{name}: {counts[name]}" for name in VERDICTS if counts[name])
    return f"**Of {len(judged)} claims** – {said}.\n"


def _row(judged: Judged, table: ClaimTable, folder: Path) -> str:
    claim = judged.claim
    ours = "<br>".join(map(_line, judged.compared)) or "–"
    about = [f"{claim.setting}; {claim.data}"]
    about += [f"not tested: {claim.lacks}"] if claim.lacks else []
    about += _trained(claim, table, folder / EVIDENCE)
    cells = (claim.id, f"**{judged.verdict}**", claim.says, claim.paper, ours, "<br>".join(about))
    return f"| {' | '.join(cells)} | {_proof(claim, table, folder)} |"


def _line(compared: Compared) -> str:
    comparison, a, b = compared.comparison, compared.a, compared.b
    values = shown(a)
    if comparison.rule in PAIRED:
        values = f"{_number(a.value) if a else '–'} and {_number(b.value) if b else '–'}"
        if a and b and comparison.rule != "times":
            values += f", difference {shown(difference(a, b))}"
    answer = "" if compared.answer is None else f": {compared.answer}"
    return f"{comparison.says}: {values}{answer}"


def _trained(claim: Claim, table: ClaimTable, evidence: Path) -> Iterator[str]:
    """Yield what the language models of a claim read, also those behind its figures, each kind once."""
    names = [name for run in table.runs_of([claim]) if run.portion for name in kept_of(run)]
    said = {
        f"{record['unique_tokens']:,} unique tokens, {record['epochs']:.2g} epochs"
        for name in names
        if name.endswith(RECORD_FILE)
        and (evidence / name).is_file()
        and (record := read_evidence(evidence, name)).get("kind") == "pretrain"
    }
    yield from sorted(said)


def _proof(claim: Claim, table: ClaimTable, folder: Path) -> str:
    command = f"`mixbench reproduce {claim.id}`"
    files = [name for name in claim.files if (folder / EVIDENCE / name).is_file()]
    links = [f"[{number}]({EVIDENCE}/{name})" for number, name in enumerate(files, start=1)]
    made = dict.fromkeys(
        plot
        for name in files
        for plot in kept_of(table.makers[name])
        if plot.endswith(".svg") and Path(plot).name != LOSS_PLOT
    )
    plots = [f"[plot]({EVIDENCE}/{name})" for name in made if (folder / EVIDENCE / name).is_file()]
    return "<br>".join([command, *([" ".join(links + plots)] if links else [])])


def _places(table: ClaimTable, evidence: Path) -> list[str]:
    found: Counter[str] = Counter()
    for run in table.runs:
        record: Mapping[str, Any] | None = read_record(evidence, run.name)
        if record is not None:
            made = record["provenance"]
            commit = (made["commit"] or "no checkout")[:12] + " with changes" * bool(made["dirty"])
            torch = made["packages"].get("torch", "?")
            place = _trained_on(run, evidence) or f"{made['device']} of a machine with {made['machine']}"
            found[f"{place}, torch {torch}, {made['date']}, code {commit}"] += 1
    return [f"- {count} runs: {place}" for place, count in sorted(found.items())] or ["Nothing ran yet."]


def _trained_on(run: Run, evidence: Path) -> str:
    """Return the device that a training run of a claim names in its own record; "" for other runs."""
    kept = [evidence / name for name in kept_of(run) if name.endswith(RECORD_FILE)]
    records = [read_evidence(evidence, str(path.relative_to(evidence))) for path in kept if path.is_file()]
    return next((str(record["device"]) for record in records if record.get("device")), "")


def verdicts_table(table: ClaimTable, folder: Path) -> str:
    """Return a short table of the claims that have a verdict from runs, by the evidence in `folder`."""
    judged = [judge(claim, folder / EVIDENCE) for claim in table.claims.values()]
    answered = [each for each in judged if each.verdict in VERDICTS[:4]]
    rows = [f"| {each.claim.id} | {each.claim.says} | **{each.verdict}** |" for each in answered]
    head = ["| claim | what it says | here |", "|---|---|---|"]
    return "\n".join([_summary(judged), *head, *rows]) + "\n"
