"""The command line on distillation: a student and its teacher, a teacher gone, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from command import Run, refused
from safetensors.torch import load_file
from test_cli_training import write_pairs

from mixbench.models.build import build_mixer_encoder
from mixbench.models.tokenizer import load_tokenizer

SHORT = ("--batch-size", 8, "--max-steps", 2, "--max-length", 12, "--dev-pairs", 0)


def save_teacher(folder: Path, seed: int = 0) -> Path:
    """A mixer of width 24 that says it was trained on squad."""
    model = build_mixer_encoder({"width": 24, "depth": 1, "context": 32}, load_tokenizer(), seed=seed)
    model.save_pretrained(str(folder))
    (folder / "mixbench.json").write_text(json.dumps({"training_sources": ["squad"]}))
    return folder


def test_a_student_needs_its_teacher_once(run: Run, tmp_path: Path) -> None:
    pairs, folder = write_pairs(tmp_path / "things.jsonl"), save_teacher(tmp_path / "sage")
    command = ("train-retriever", "tiny", "--pairs", pairs, "--teacher", folder, *SHORT)
    ended = run(*command, "-o", "one", "--teacher-store", "stored")
    assert (ended.status, ended.out) == (0, "one\n"), ended.err
    record = json.loads(Path("one/mixbench.json").read_text())
    assert (record["teacher"], len(record["teacher_sha256"])) == ("sage", 64)
    assert record["training_sources"] == ["squad", "things"]
    shutil.rmtree(folder)
    ended = run(*command, "-o", "two", "--teacher-store", "stored")
    assert ended.status == 0, ended.err
    one, two = (load_file(f"{name}/model.safetensors") for name in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)
    again = json.loads(Path("two/mixbench.json").read_text())
    assert (again["teacher_sha256"], again["training_sources"]) == (
        record["teacher_sha256"],
        ["squad", "things"],
    )
    ended = run(*command, "-o", "out", "--teacher-store", "elsewhere")
    refused(ended, "unknown model", "sage")
    other = write_pairs(tmp_path / "other.jsonl", count=50)
    ended = run(
        "train-retriever", "tiny", "--pairs", other, "--teacher", folder, *SHORT,
        "-o", "out", "--teacher-store", "stored",
    )  # fmt: skip
    refused(ended, "stored: has not all texts of this run, and teacher", "unknown model")


def test_the_store_is_in_the_cache_unless_a_folder_is_given(run: Run, tmp_path: Path) -> None:
    pairs, folder = write_pairs(tmp_path / "things.jsonl"), save_teacher(tmp_path / "sage")
    ended = run("train-retriever", "tiny", "--pairs", pairs, "--teacher", folder, *SHORT, "-o", "one")
    assert ended.status == 0, ended.err
    assert len(list((tmp_path / "home/.cache/mixbench/teachers").glob("*/teacher.json"))) == 1


def test_text_alone_distils(run: Run, tmp_path: Path) -> None:
    sentences = " ".join(f"the wing number {n} is held by plate {n + 1}." for n in range(200))
    (tmp_path / "book.txt").write_text(sentences)
    ended = run(
        "train-retriever", "tiny", "--text", "../book.txt", "--text-pairs", 9, "--infonce-weight", 0,
        "--teacher", save_teacher(tmp_path / "sage"), *SHORT, "-o", "one",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    record = json.loads(Path("one/mixbench.json").read_text())
    assert [(source["name"], source["pairs"]) for source in record["sources"]] == [("book", 9)]
    assert record["config"]["infonce_weight"] == 0


def test_averaged_nested_and_symmetric_training_runs_from_the_command_line(run: Run, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "things.jsonl")
    extra = ("--average", 0.9, "--matryoshka", "8,64", "--both-directions", "--schedule", "cosine")
    ended = run("train-retriever", "tiny", "--pairs", pairs, *SHORT, *extra, "-o", "one")
    assert ended.status == 0, ended.err
    config = json.loads(Path("one/mixbench.json").read_text())["config"]
    assert (config["average"], config["matryoshka"], config["both_directions"], config["schedule"]) == (
        0.9,
        [8, 64],
        True,
        "cosine",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--teacher", "bm25"], "teacher 'bm25' is no encoder"),
        (["--teacher", "minilmm"], "unknown model 'minilmm'"),
        (["--teacher", "mixer-tiny", "--teacher-weight", "0"], "teacher_weight must be above 0"),
        (["--infonce-weight", "0"], "infonce_weight 0 leaves nothing to learn from"),
        (["--infonce-weight", "-1"], "infonce_weight must be at least 0"),
        (["--matryoshka", "64,x"], "matryoshka '64,x': give whole numbers"),
        (["--matryoshka", "9999"], "9999 is more than the model's"),
        (["--average", "1.5"], "average must lie between 0 and 1"),
        (["--schedule", "step"], "schedule must be 'linear' or 'cosine'"),
        (["--text", "absent.txt"], "absent.txt: cannot be read"),
    ],
)
def test_distillation_that_cannot_be_done_is_one_line(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    pairs = write_pairs(tmp_path / "p.jsonl")
    refused(run("train-retriever", "tiny", "--pairs", pairs, *SHORT, *arguments, "-o", "out"), message)
    assert list(Path().iterdir()) == []
