"""Training on what is spoiled, empty, of another shape or too large for the disk: one line, nothing lost."""

import json
import lzma
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Ended, Run, make_run, refused
from safetensors.torch import load_file, save_file
from tiny_language import DOCUMENTS, tiny_encoder, tiny_tokenizer, write_text

from mixbench.errors import MixbenchError
from mixbench.full_disk import writing
from mixbench.models.load import load_model

TEXT = ("--text", "../things.txt", "--max-steps", 4, "--batch-size", 2, "--eval-every", 1)
PAIRS = ("--pairs", "../p.jsonl", "--max-steps", 4, "--batch-size", 8, "--eval-every", 1, "--dev-pairs", 0)
VERBS = {"pretrain": TEXT, "train-retriever": PAIRS}
both = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return the command line beside a text, pairs and an untrained mixer."""
    call = make_run(tmp_path, monkeypatch, capfd)
    write_text(tmp_path / "things.txt")
    pairs = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    tokenizer = tiny_tokenizer(tmp_path)
    tiny_encoder(tokenizer).save_pretrained(str(tmp_path / "start"), create_model_card=False)
    return call


def train(run: Run, verb: str, *options: object) -> Ended:
    return run(verb, "../start", "-o", "made", *VERBS[verb], *options)


def stop_after_first_step(run: Run, verb: str) -> Path:
    """Train one step; return the checkpoint of it."""
    ended = train(run, verb, "--max-minutes", 1e-9)
    assert ended.status == 0, ended.err
    return Path(".made.training/checkpoint-1")


def embedding() -> bytes:
    return load_model("made").encode(["the red cat"]).tobytes()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse what would make a file longer than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@both
def test_a_learning_rate_that_leaves_the_numbers_is_named(run: Run, verb: str) -> None:
    ended = train(run, verb, "--learning-rate", 1e30)
    refused(ended, "training diverged at step ", "checkpoint", "with a learning rate below 1e+30")
    assert not Path("made").exists()
    for path in Path(".made.training").glob("checkpoint-*/weights.safetensors"):
        assert all(value.isfinite().all() for value in load_file(path).values())


def test_a_learning_rate_that_no_optimiser_can_hold_is_refused_before_the_run(run: Run) -> None:
    for option in ("--learning-rate", "--embedding-rate"):
        ended = train(run, "train-retriever", option, 1e38)
        refused(ended, f"{option[2:].replace('-', '_')} must be at most 1e+30, not 1e+38")
        assert not Path(".made.training").exists()


@pytest.mark.parametrize("content", ["", "\n \n\n", "the red cat"])
def test_a_text_without_a_window_to_train_on_is_named(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "things.txt").write_text(content)
    refused(train(run, "pretrain"), "../things.txt has ", " tokens, and training needs 34", "give more text")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.jsonl", b""), ("p.jsonl", b"\n \n\n"), ("p.jsonl.xz", lzma.compress(b""))],
)
def test_a_file_without_pairs_is_named(run: Run, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    ended = run("train-retriever", "../start", "-o", "made", "--pairs", f"../{name}")
    refused(ended, f"../{name}: holds no pairs; a line is ")
    assert list(Path().iterdir()) == []


def narrow_card(part: Path) -> None:
    path = part.parent / "teacher.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dimension": 7}))


def narrow_vectors(part: Path) -> None:
    np.save(part / "vectors.npy", np.load(part / "vectors.npy")[:, :7])


def cut_keys(part: Path) -> None:
    (part / "keys.npy").write_bytes((part / "keys.npy").read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [narrow_card, narrow_vectors, cut_keys])
def test_a_teachers_store_that_does_not_fit_is_named(run: Run, spoil: Callable[[Path], None]) -> None:
    taught = ("--teacher", "../start", "--teacher-store", "store")
    assert train(run, "train-retriever", *taught).status == 0
    before = embedding()
    part = sorted(Path("store").glob("*/*/keys.npy"))[0].parent
    spoil(part)
    refused(train(run, "train-retriever", *taught, "--overwrite"), f"{part}", "delete")
    assert embedding() == before


def test_a_teacher_whose_files_changed_is_embedded_anew(run: Run, tmp_path: Path) -> None:
    taught = ("--teacher", "../start", "--teacher-store", "store")
    assert train(run, "train-retriever", *taught).status == 0
    weights = load_file(tmp_path / "start" / "model.safetensors")
    save_file({name: 2 * value for name, value in weights.items()}, tmp_path / "start" / "model.safetensors")
    assert train(run, "train-retriever", *taught, "--overwrite").status == 0
    assert len(list(Path("store").glob("*/teacher.json"))) == 2


def cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])

    return spoil


def one_row(folder: Path) -> None:
    """Leave of each weight one row, which would fit by broadcasting."""
    path = folder / "weights.safetensors"
    save_file({name: value[:1].contiguous() for name, value in load_file(path).items()}, path)


def one_row_of_moments(folder: Path) -> None:
    path = folder / "optimizer.safetensors"
    if path.exists():
        moments = load_file(path)
        save_file(
            {key: value[:1].contiguous() if value.ndim else value for key, value in moments.items()}, path
        )
        return
    state = torch.load(folder / "optimizer.pt")
    for each in state["state"].values():
        each["exp_avg"] = each["exp_avg"][:1].clone()
    torch.save(state, folder / "optimizer.pt")


def no_moments(folder: Path) -> None:
    path = folder / "optimizer.safetensors"
    if path.exists():
        save_file({}, path)
    else:
        (folder / "optimizer.pt").unlink()


def cut_moments(folder: Path) -> None:
    (name,) = (path.name for path in folder.glob("optimizer.*"))
    cut(name)(folder)


@both
@pytest.mark.parametrize(
    "spoil",
    [
        cut("weights.safetensors"),
        one_row,
        cut_moments,
        one_row_of_moments,
        no_moments,
        cut("trainer_state.json"),
    ],
    ids=["cut weights", "one row", "cut moments", "one row of moments", "no moments", "cut state"],
)
def test_a_checkpoint_that_does_not_fit_is_named_and_the_output_stays(
    run: Run, verb: str, spoil: Callable[[Path], None]
) -> None:
    kept = stop_after_first_step(run, verb)
    before = embedding()
    spoil(kept)
    refused(train(run, verb, "--resume"), f"{kept}: cannot be resumed from (", "--overwrite")
    assert kept.is_dir()
    assert embedding() == before


@both
@pytest.mark.parametrize("start", ["cut", "other shape"])
def test_a_model_to_start_from_that_does_not_fit_is_named(
    run: Run, tmp_path: Path, verb: str, start: str
) -> None:
    path = tmp_path / "start" / "model.safetensors"
    if start == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        save_file({name: value[:1].contiguous() for name, value in load_file(path).items()}, path)
    refused(train(run, verb), "../start: ", "deserializing header" if start == "cut" else "shape")
    assert list(Path().iterdir()) == []


def test_a_head_of_another_width_is_named(run: Run) -> None:
    assert train(run, "pretrain").status == 0
    save_file({"weight": torch.ones(3), "bias": torch.ones(3)}, "made/head.safetensors")
    refused(run("generate", "made", "the red"), "made/head.safetensors: cannot be read as this model's head")


@both
@pytest.mark.parametrize("size", [15_000, 150_000])
def test_a_full_disk_is_named_and_costs_nothing_that_was_written(run: Run, verb: str, size: int) -> None:
    kept = stop_after_first_step(run, verb)
    before = embedding()
    assert (kept / "weights.safetensors").stat().st_size < 150_000
    assert max(path.stat().st_size for path in kept.glob("optimizer.*")) > 150_000
    with files_of_at_most(size):
        ended = train(run, verb, "--resume")
    refused(ended, ".made.training/checkpoint-2: cannot be written: no space left ", "free some space")
    assert [path.name for path in Path(".made.training").glob("*") if path.is_dir()] == ["checkpoint-1"]
    assert embedding() == before
    ended = train(run, verb, "--resume")
    assert ended.status == 0, ended.err
    assert embedding() != before


@both
def test_an_output_that_the_disk_has_no_room_for_leaves_the_one_before(run: Run, verb: str) -> None:
    assert train(run, verb).status == 0
    before = embedding()
    shutil.copytree("made", "copy")
    with files_of_at_most(15_000):
        refused(train(run, verb, "--overwrite"), "made", "cannot be written: no space left ")
    assert embedding() == before
    for path in Path("copy").rglob("*"):
        assert path.is_dir() or path.read_bytes() == ("made" / path.relative_to("copy")).read_bytes()


def test_a_device_without_space_is_told_by_the_name_of_what_was_written(tmp_path: Path) -> None:
    told = pytest.raises(MixbenchError, match=r"/model: cannot be written: no space left on the device; free")
    with told, writing(tmp_path / "model"), Path("/dev/full").open("wb") as device:
        device.write(bytes(100_000))
    with pytest.raises(FileNotFoundError), writing(tmp_path / "model"):
        (tmp_path / "absent").read_bytes()
