"""`mixbench reproduce`: the runs of the paper's claims, the evidence that they leave, and the page of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mixbench.errors import InputError, UnknownName
from mixbench.experiments.claims.claim import Claim, ClaimTable, read_claims
from mixbench.experiments.claims.embedded import write_embedded
from mixbench.experiments.claims.evidence import check_evidence, collect
from mixbench.experiments.claims.judging import judge
from mixbench.experiments.claims.page import EVIDENCE, render_page
from mixbench.experiments.progress import say
from mixbench.experiments.run_list import Run, missing_of
from mixbench.experiments.runs import Ran, run_missing
from mixbench.files import write_atomic

PAPER = "paper"
PAGE = "README.md"


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """How and where claims are run; folders of None are the scale's own, see the properties.

    At the scale "smoke" `pairs_dir` and `text` are not read: embedded data stands for them.
    """

    scale: str = "full"
    portion: int | None = None
    slots: int = 1
    max_minutes: float | None = None
    work: Path | None = None
    output: Path | None = None
    device: str = "cpu"
    pairs_dir: Path | None = None
    text: Path | None = None
    offline: bool = False

    @property
    def work_folder(self) -> Path:
        """Where runs write."""
        return self.work or Path("build", "reproduce", self.scale)

    @property
    def page_folder(self) -> Path:
        """Where page and evidence go: a smoke run proves nothing, and leaves the boards alone."""
        boards = Path("leaderboards") if self.scale == "full" else self.work_folder
        return (self.output or boards) / PAPER


def reproduce(ids: Sequence[str], options: ReproduceOptions) -> Ran:
    """Run what is missing of the claims `ids`, all without any, keep the evidence and write the page.

    Raises:
        UnknownName: there is no such claim or scale.
        InputError: there is no such portion, or data that a run wants is not given.
    """
    table = read_claims(options.scale)
    claims = chosen_claims(table, ids)
    runs = table.runs_of(claims, options.portion)
    if options.portion is not None and not runs:
        portions = sorted({run.portion for run in table.runs_of(claims)})
        raise InputError(f"no run of these claims is in portion {options.portion}; there are {portions}")
    for claim in claims:
        if claim.untested:
            say(f"{claim.id}: not tested here, {claim.untested}")
    work = options.work_folder
    missing = missing_of(runs, work)
    values = {"device": options.device, **_places(options, [run for run in runs if run.name in missing])}
    ran = run_missing(
        runs,
        work,
        slots=options.slots,
        values=values,
        max_minutes=options.max_minutes,
        environment={"HF_HUB_OFFLINE": "1"} if options.offline else {},
        say=say,
    )
    collect(runs, work, options.page_folder / EVIDENCE)
    write_page(options)
    return ran


def write_page(options: ReproduceOptions) -> Path:
    """Write the page of what evidence there is; return its path. Raises InputError for bad evidence."""
    page = options.page_folder / PAGE
    write_atomic(page, render_page(read_claims(options.scale), options.page_folder))
    return page


def chosen_claims(table: ClaimTable, ids: Sequence[str]) -> list[Claim]:
    """Return the claims called `ids`, all without any. Raises UnknownName."""
    for name in ids:
        if name not in table.claims:
            raise UnknownName.of("claim", name, table.claims)
    return [claim for claim in table.claims.values() if not ids or claim.id in ids]


def check_paper(options: ReproduceOptions) -> list[str]:
    """Return what is wrong with page and evidence, a line each; nothing where there is no such folder."""
    folder, table = options.page_folder, read_claims(options.scale)
    if not folder.is_dir():
        return []
    problems = check_evidence(table, folder / EVIDENCE)
    page = folder / PAGE
    if not page.is_file() or page.read_text(encoding="utf-8") != render_page(table, folder):
        problems.append(
            f"{page}: does not say what the evidence does; write it with 'mixbench reproduce --render'"
        )
    return problems


def list_claims(ids: Sequence[str], options: ReproduceOptions) -> Table:
    """Return a table of claims: verdict, estimated minutes of all its runs, portions, and what is missing."""
    table = read_claims(options.scale)
    missing = missing_of(table.runs_of(list(table.claims.values())), options.work_folder)
    shown = Table(title=f"Claims, scale {options.scale}", title_justify="left")
    for heading in ("claim", "verdict", "says"):
        shown.add_column(heading)
    for heading in ("minutes", "portions", "runs", "missing"):
        shown.add_column(heading, justify="right")
    for claim in chosen_claims(table, ids):
        runs = table.runs_of([claim])
        cells = ["", "", "", ""]
        if runs:
            portions = sorted({run.portion for run in runs if run.portion})
            lacking = sum(run.name in missing for run in runs)
            minutes = sum(run.minutes for run in runs)
            cells = [f"{minutes:g}", ", ".join(map(str, portions)), str(len(runs)), str(lacking)]
        shown.add_row(claim.id, judge(claim, options.page_folder / EVIDENCE).verdict, claim.says, *cells)
    return shown


def _places(options: ReproduceOptions, runs: Sequence[Run]) -> Mapping[str, str]:
    """Return what {text} and {pairs} of `runs` are; embedded data is written first where it is meant."""
    if options.scale == "smoke" and runs:
        return write_embedded(options.work_folder / "embedded")
    words = [word for run in runs for command in run.commands for word in command]
    places = {}
    for name, option, place in (
        ("text", "--text", options.text),
        ("pairs", "--pairs-dir", options.pairs_dir),
    ):
        if not any(f"{{{name}}}" in word for word in words):
            continue
        if place is None or not place.exists():
            given = "nothing is given" if place is None else f"{str(place)!r} is not there"
            raise InputError(f"{option}: {given}, which these claims need; give {option} PATH")
        places[name] = str(place)
    return places
