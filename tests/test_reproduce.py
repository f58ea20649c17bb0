"""`mixbench reproduce`: real tiny runs of some claims, their evidence, the page, and what is found wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from command import Run, refused

from mixbench.experiments.claims.claim import read_claims
from mixbench.experiments.claims.page import shown
from mixbench.experiments.claims.rules import Figure

CLAIMS = ("R5", "T5", "Q3")
"""A probe, language models and a matcher, with all that these need."""
FOLDER = Path("build/reproduce/smoke/paper")


class Ended(NamedTuple):
    folder: Path
    out: str
    err: str


def reproduce(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mixbench", "reproduce", *arguments, "--scale", "smoke"]
    environment = {**os.environ, "HOME": str(folder / "home")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Some claims at the smoke scale, run once, in two slots."""
    folder = tmp_path_factory.mktemp("reproduce")
    done = reproduce(folder, *CLAIMS, "--slots", "2", "--offline")
    assert done.returncode == 0, done.stderr
    return Ended(folder, done.stdout, done.stderr)


@pytest.fixture
def here(ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the claims left, to be broken."""
    shutil.copytree(ended.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return FOLDER


def row(page: str, claim: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {claim} |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_claims_are_run_judged_and_shown_with_their_proof(ended: Ended) -> None:
    assert ended.out == f"{FOLDER}/README.md\n"
    page = (ended.folder / FOLDER / "README.md").read_text()
    for claim, stated in read_claims("smoke").claims.items():
        cells = row(page, claim)
        assert stated.says in cells
        assert stated.paper in cells
        if claim in CLAIMS:
            assert cells[1] in {
                f"**{verdict}**" for verdict in ("holds", "holds in part", "fails", "undecided")
            }
            assert f"`mixbench reproduce {claim}`" in cells[-1]
        else:
            assert cells[1] == "**not run yet**" or cells[-1] == stated.untested
    losses = json.loads((ended.folder / FOLDER / "evidence/lm/heads/mixbench.json").read_text())
    assert f"{losses['unique_tokens']:,} unique tokens" in row(page, "T5")[5]
    mean = shown(Figure.plain(sum(losses["held_out_losses"]) / len(losses["held_out_losses"])))
    assert f"two heads below the flat mixer: {mean} and " in row(page, "T5")[4]


def test_the_summary_counts_every_claim_by_its_verdict(ended: Ended) -> None:
    page = (ended.folder / FOLDER / "README.md").read_text()
    claims = read_claims("smoke").claims.values()
    untested = sum(bool(claim.untested) for claim in claims)
    (line,) = [line for line in page.splitlines() if line.startswith("**Of ")]
    assert line.startswith(f"**Of {len(claims)} claims** – ")
    assert "tells nothing of any claim" in page
    assert f"not run yet: {len(claims) - untested - len(CLAIMS)}, not tested here: {untested}" in line


def test_evidence_is_small_linked_and_names_no_place_of_the_machine(ended: Ended) -> None:
    evidence = ended.folder / FOLDER / "evidence"
    files = [path for path in evidence.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".svg"}
    assert max(path.stat().st_size for path in files) <= 100_000
    assert [path for path in files if str(ended.folder) in path.read_text()] == []
    page = (ended.folder / FOLDER / "README.md").read_text()
    assert "[1](evidence/lm/heads/mixbench.json)" in page


def test_a_second_call_runs_nothing_and_writes_the_same_page(here: Path) -> None:
    before = (here / "README.md").read_text()
    (here / "README.md").unlink()
    done = reproduce(Path.cwd(), *CLAIMS)
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "README.md").read_text() == before


def test_what_is_missing_is_run_again_alone(here: Path) -> None:
    Path("build/reproduce/smoke/probe/first-block.json").unlink()
    done = reproduce(Path.cwd(), *CLAIMS)
    said = [line.partition(",")[0].partition(" in")[0] for line in done.stderr.splitlines()]
    assert said == ["probe-first-block: started", "probe-first-block: done"]


def problems(run: Run) -> list[str]:
    checked = run("reproduce", "--check", "--scale", "smoke")
    assert checked.status == (3 if checked.out else 0)
    return checked.out.splitlines()


@pytest.fixture
def there(run: Run, here: Path, ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `here`, for a command in this process."""
    monkeypatch.chdir(tmp_path / "copy")
    return here


def test_the_page_that_was_written_passes_its_check(run: Run, there: Path) -> None:
    assert problems(run) == []


def test_a_figure_changed_on_the_page_or_in_the_evidence_is_found(run: Run, there: Path) -> None:
    page = there / "README.md"
    page.write_text(re.sub(r"\*\*Of \d+ claims", "**Of 9 claims", page.read_text()))
    (line,) = problems(run)
    assert "README.md: does not say what the evidence does" in line
    rendered = run("reproduce", "--render", "--scale", "smoke")
    assert (rendered.status, rendered.out) == (0, f"{page}\n")
    assert problems(run) == []
    path = there / "evidence/lm/heads/mixbench.json"
    record = json.loads(path.read_text())
    record["held_out_losses"] = [loss / 2 for loss in record["held_out_losses"]]
    path.write_text(json.dumps(record))
    (line,) = problems(run)
    assert "README.md: does not say what the evidence does" in line


def test_evidence_of_other_commands_of_no_run_and_without_a_record_is_found(run: Run, there: Path) -> None:
    path = there / "evidence/runs/lm-heads.json"
    record = json.loads(path.read_text())
    record["commands"][0][0] = "pretrained"
    path.write_text(json.dumps(record))
    (there / "evidence/stray.json").write_text("{}")
    (there / "evidence/runs/probe-first-block.json").unlink()
    found = "\n".join(problems(run))
    assert "stray.json: no run of a claim makes this file" in found
    assert "lm-heads.json: made by other commands; run lm-heads again" in found
    assert "probe/first-block.json: nothing tells how it was made" in found


def test_a_failing_run_leaves_its_claims_unrun_and_the_status_says_so(run: Run, there: Path) -> None:
    shutil.rmtree("build/reproduce/smoke/lm/heads")
    shutil.rmtree(there / "evidence/lm/heads")
    Path("build/reproduce/smoke/lm/.heads.training").write_text("in the way of its checkpoints")
    ended = run("reproduce", "T5", "R5", "--scale", "smoke")
    assert ended.status == 1
    assert "mixbench: 1 runs failed: lm-heads" in ended.err
    page = (there / "README.md").read_text()
    assert row(page, "T5")[1] == "**not run yet**"
    assert row(page, "R5")[1] != "**not run yet**"


def test_a_missing_folder_is_nothing_to_check_and_a_missing_page_is(run: Run, there: Path) -> None:
    (there / "README.md").unlink()
    assert len(problems(run)) == 1
    shutil.rmtree(there)
    assert problems(run) == []


def test_claims_are_listed_with_minutes_runs_and_state(run: Run, there: Path) -> None:
    ended = run("reproduce", "--list", "T5", "N7", "Q1", "--scale", "smoke")
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in ended.out.splitlines() if "│" in line
    ]
    named = {line[0]: line for line in cells}
    assert list(named) == ["T5", "Q1", "N7"]
    assert named["T5"][3:] == ["4.8", "1", "7", "0"]
    assert named["N7"][1] == "not tested here"
    assert named["Q1"][1] == "not run yet"
    assert named["Q1"][6] == "20"  # of 23, three of which Q3 has run


def test_names_portions_and_data_that_are_not_there_are_one_line(run: Run) -> None:
    refused(run("reproduce", "T55"), "unknown claim 'T55'; did you mean 'T5'")
    refused(run("reproduce", "--scale", "fulll"), "unknown scale 'fulll'; did you mean 'full'")
    refused(
        run("reproduce", "T5", "--portion", 5), "no run of these claims is in portion 5; there are [0, 1]"
    )
    refused(run("reproduce", "T5"), "--text: nothing is given, which these claims need; give --text PATH")
    refused(run("reproduce", "T5", "--text", "absent.txt"), "--text: 'absent.txt' is not there")
    refused(run("reproduce", "Q3"), "--pairs-dir: nothing is given")
    assert list(Path().iterdir()) == []


def test_every_claim_that_is_tested_runs_at_the_smoke_scale(tmp_path: Path) -> None:
    done = reproduce(tmp_path, "--slots", "2", "--offline")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / FOLDER / "README.md").read_text()
    assert "not run yet" not in page
