"""Each row of the table of bad inputs: the command answers with exactly that line, and writes nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_inputs import PAGE, Case, read_cases, render
from command import TASK, Run
from loopback import serving
from tiny_language import DOCUMENTS, tiny_encoder, tiny_tokenizer, write_text

CASES = read_cases()
RUNS = """[runs.one]
commands = ["eval -m bm25 -t zoo"]
proof = ["one.json"]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixer with its record, and a transformer."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer(folder)
    for name, kind in (("mixer", "right"), ("twin", "twin")):
        tiny_encoder(tokenizer, kind).save_pretrained(str(folder / name), create_model_card=False)
    record = {"training_sources": ["pairs"], "command": "mixbench train-retriever"}
    (folder / "mixer" / "mixbench.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def served() -> Iterator[object]:
    with serving() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, models: Path, run: Run) -> Path:
    """A folder with a valid file of each kind."""
    shutil.copytree(models, tmp_path / "models")
    rows = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_text(tmp_path / "things.txt")
    (tmp_path / "run.trec").write_text("q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\n")
    (tmp_path / "runs.toml").write_text(RUNS)
    (tmp_path / "tasks/zoo/web.toml").write_text(TASK.replace("tiny", "web"))
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--output", "../stored")
    assert run("eval", *places, "-m", "bm25", "-t", "tiny").status == 0
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_bad_input_gets_exactly_the_line_of_the_table(
    place: Path, run: Run, served, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    case.spoil(place)
    address = served.url("/a.zip")
    served.files["/a.zip"] = (place / "a.zip").read_bytes() if (place / "a.zip").exists() else b""
    ended = run(*case.command.replace("ADDRESS", address).split())
    told = ended.err.strip().splitlines()[-1].replace(address, "ADDRESS").replace(str(place), "..")
    assert (ended.status, told) == (1, f"mixbench: {case.message}")
    assert "Traceback" not in ended.err
    assert list(Path().iterdir()) == []
    assert not (place / "outside").exists()


def test_the_table_has_sixty_distinct_inputs_and_the_page_is_rendered_from_it() -> None:
    assert len({(each.command, each.file, each.message) for each in CASES}) == len(CASES) >= 60
    assert PAGE.read_text(encoding="utf-8") == render(CASES), "run python tests/bad_inputs.py"
