"""Pretraining: first loss, exact resuming, exact chunks, texts and their cache, and the folder written."""

import gzip
import json
import lzma
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run, refused
from safetensors.torch import load_file
from tiny_language import (
    CONTEXT,
    DOCUMENTS,
    tiny_encoder,
    tiny_language,
    tiny_text,
    tiny_tokenizer,
    write_text,
)
from torch.nn.functional import cross_entropy

from mixbench.data.texts import read_pieces, text_source
from mixbench.errors import InputError, MissingData, MixbenchError
from mixbench.models.language_model import LanguageModel
from mixbench.models.load import load_model, model_sha256
from mixbench.training.language_config import PretrainConfig
from mixbench.training.language_loss import HeadLoss, token_loss
from mixbench.training.language_record import TextRead
from mixbench.training.pretrain import pretrain
from mixbench.training.record import Origin
from mixbench.training.tokens import cached_tokens, split_tokens
from mixbench.training.windows import Windows


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def text(tokenizer, tmp_path: Path) -> TextRead:
    return tiny_text(tokenizer, tmp_path)


def train(output: Path, tokenizer, text: TextRead, kind: str = "right", **changes):
    options = {key: changes.pop(key) for key in ("resume", "overwrite") if key in changes}
    config = PretrainConfig(**{"max_steps": 6, "batch_size": 4, "eval_every": 2, "seed": 3, **changes})
    model = tiny_encoder(tokenizer, kind)
    pretrain(model, LanguageModel(model), text, config, output, origin=Origin(base="tiny"), **options)
    weights = {**load_file(output / "model.safetensors"), **load_file(output / "head.safetensors")}
    return weights, json.loads((output / "mixbench.json").read_text())


@pytest.mark.parametrize("kind", ["left", "right", "twin", "wide-twin", "gpt"])
def test_the_first_loss_is_that_of_guessing_among_all_tokens(tokenizer, kind) -> None:
    ids = torch.randint(2, 300, (16, CONTEXT + 1), generator=torch.manual_seed(0))
    language = tiny_language(tokenizer, kind)
    loss = token_loss(language.states, HeadLoss(language.head), ids).item()
    assert loss == pytest.approx(math.log(len(tokenizer)), abs=0.1)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_loss_in_chunks_and_its_gradient_are_those_of_all_logits_at_once(tokenizer, compiled) -> None:
    ids = torch.randint(2, 300, (3, CONTEXT + 1), generator=torch.manual_seed(0))
    whole, parts = tiny_language(tokenizer), tiny_language(tokenizer)
    expected = cross_entropy(whole(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    summed = HeadLoss(parts.head, rows=7, compiled=compiled)
    found = token_loss(parts.states, summed, ids)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    with torch.no_grad():
        assert token_loss(parts.states, summed, ids).item() == pytest.approx(expected.item(), abs=1e-6)
    expected.backward()
    found.backward()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)
        assert one.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["right", "twin", "gpt"])
def test_a_run_stopped_after_every_step_equals_a_straight_one(tmp_path, tokenizer, text, kind) -> None:
    straight, record = train(tmp_path / "straight", tokenizer, text, kind)
    _, stopped = train(tmp_path / "steps", tokenizer, text, kind, max_minutes=1e-9)
    assert (stopped["steps"], stopped["planned_steps"], stopped["stopped_early"]) == (1, 6, True)
    for _ in range(5):
        resumed, stopped = train(tmp_path / "steps", tokenizer, text, kind, max_minutes=1e-9, resume=True)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert (stopped["steps"], stopped["stopped_early"]) == (6, False)
    assert stopped["validation_loss"] == record["validation_loss"]
    assert not list(tmp_path.glob(".*.training"))
    untrained = tiny_language(tokenizer, kind).head.norm.weight
    assert not torch.equal(straight["weight"], untrained)


def test_training_lowers_the_loss_on_held_out_text(tmp_path, tokenizer, text) -> None:
    _, record = train(tmp_path / "out", tokenizer, text, max_steps=60, eval_every=30, learning_rate=0.01)
    losses = dict(record["validation_loss"])
    assert list(losses) == [0, 30, 60]
    assert losses[60] < 0.5 * losses[0]
    assert record["tokens_seen"] == 60 * 4 * CONTEXT
    assert record["epochs"] == pytest.approx(record["tokens_seen"] / record["unique_tokens"], abs=1e-4)
    assert (record["training_sources"], record["seed"]) == (["things"], 3)
    assert record["unique_tokens"] + record["held_out_tokens"] == len(text.ids_N)
    assert (tmp_path / "out" / "loss.svg").read_text().startswith("<svg")
    assert len(record["held_out_losses"]) == (record["held_out_tokens"] - 1) // CONTEXT
    mean = sum(record["held_out_losses"]) / len(record["held_out_losses"])
    assert mean == pytest.approx(losses[60], abs=1e-4)
    assert record["peak_memory_bytes"] is None
    curve = record["validation_curve"]
    assert [(point["tokens"], point["loss"]) for point in curve] == [
        (step * 4 * CONTEXT, loss) for step, loss in losses.items()
    ]
    seconds = [point["seconds"] for point in curve]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (0, pytest.approx(record["seconds"], abs=0.1))


def test_models_of_one_text_and_seed_are_held_to_the_same_windows(tmp_path, tokenizer, text) -> None:
    _, one = train(tmp_path / "one", tokenizer, text, max_steps=1, learning_rate=1e-9)
    _, same = train(tmp_path / "same", tokenizer, text, max_steps=1, learning_rate=1e-9)
    _, twin = train(tmp_path / "twin", tokenizer, text, "twin", max_steps=1, learning_rate=1e-9)
    assert one["held_out_losses"] == same["held_out_losses"] != twin["held_out_losses"]
    assert len(set(one["held_out_losses"])) == len(one["held_out_losses"]) == len(twin["held_out_losses"])


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(tmp_path, tokenizer, text) -> None:
    model = tiny_encoder(tokenizer)

    def spoil(step: int, loss: float, validation: float | None) -> None:
        if step == 2:
            torch.nn.init.constant_(model[0].embedding.weight, float("nan"))

    config = PretrainConfig(max_steps=6, batch_size=4, eval_every=2)
    with pytest.raises(MixbenchError, match=r"at step 3: the loss is nan; .*checkpoint-2; start again"):
        pretrain(
            model, LanguageModel(model), text, config, tmp_path / "out", origin=Origin(base="t"), report=spoil
        )
    kept = load_file(tmp_path / ".out.training" / "checkpoint-2" / "weights.safetensors")
    assert all(value.isfinite().all() for value in kept.values())
    assert not (tmp_path / "out").exists()
    with pytest.raises(MixbenchError, match="held-out text is nan; no checkpoint was written"):
        train(tmp_path / "new", tokenizer, text, learning_rate=1e30, eval_every=1)


def test_another_plan_is_not_resumed(tmp_path, tokenizer, text) -> None:
    train(tmp_path / "out", tokenizer, text, max_minutes=1e-9)
    with pytest.raises(InputError, match="learning_rate"):
        train(tmp_path / "out", tokenizer, text, resume=True, learning_rate=1e-3)


def test_a_pass_reads_each_token_once_and_the_next_in_another_order() -> None:
    windows = Windows(np.arange(64, dtype=np.uint16) + 65_000, 8, 0, torch.device("cpu"))
    first, second = (windows.batch(number, 8) for number in (0, 1))
    assert sorted(first[:, :-1].flatten().tolist()) == list(range(65_000, 65_064))
    assert sorted(second[:, :-1].flatten().tolist()) == list(range(65_000, 65_064))
    assert not torch.equal(first, second)
    assert torch.equal(windows.batch(0, 8), first)


def test_each_document_ends_with_the_end_token_whatever_file_it_came_in(tmp_path, tokenizer) -> None:
    write_text(tmp_path / "lines.txt")
    write_text(tmp_path / "inside.txt", "<|endoftext|>")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress((tmp_path / "lines.txt").read_bytes()))
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress((tmp_path / "lines.txt").read_bytes()))
    rows = [
        {"text": one} if number % 2 else {"query": "?", "positive": one}
        for number, one in enumerate(DOCUMENTS)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [number for one in DOCUMENTS for number in tokenizer(one)["input_ids"]]
    for name in ("lines.txt", "inside.txt", "a.txt.gz", "a.txt.xz", "a.jsonl"):
        ids = cached_tokens([text_source(str(tmp_path / name))], tokenizer, tmp_path / "cache" / name)
        assert (ids.dtype, ids.tolist()) == (np.uint16, expected), name


def test_a_long_document_comes_in_pieces_with_one_end(tmp_path) -> None:
    (tmp_path / "long.txt").write_text("some words of a line\n" * 12_000 + "<|endoftext|>\nlast\n")
    pieces = list(read_pieces(text_source(str(tmp_path / "long.txt"))))
    assert [piece.last for piece in pieces] == [False, False, True, True]
    assert "".join(piece.text for piece in pieces) == "some words of a line\n" * 12_000 + "last\n"


def test_held_out_text_is_whole_documents_or_the_end_of_a_single_one() -> None:
    many = np.array([*([5] * 9 + [1]) * 100], dtype=np.uint16)
    kept, held = split_tokens(many, 1, 15, 0)
    assert (len(kept), len(held)) == (980, 20)
    one = np.arange(2, 402, dtype=np.uint16)
    kept, held = split_tokens(one, 1, 15, 0)
    assert held.tolist() == list(range(386, 402))
    with pytest.raises(InputError, match="the text has 31 tokens, and training needs 32"):
        split_tokens(one[:31], 1, 15, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\nno\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", '{"title": "a"}\n', "a.jsonl:1: no 'text' and no 'positive'"),
        ("a.txt", b"a\n\xff\n", "a.txt:2: not UTF-8"),
    ],
)
def test_a_text_that_cannot_be_read_is_named_by_file_and_line(
    tmp_path, tokenizer, name, content, message
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        cached_tokens([text_source(str(tmp_path / name))], tokenizer, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_dataset_of_the_hub_is_one_clear_error_without_the_hub() -> None:
    with pytest.raises(MissingData, match="'hub:org/name': the hub does not give this dataset"):
        text_source("hub:org/name")
    with pytest.raises(InputError, match="hub:ORG/NAME"):
        text_source("hub:name")


def test_a_model_that_looks_both_ways_is_refused(tokenizer) -> None:
    with pytest.raises(InputError, match="does not look back only"):
        tiny_language(tokenizer, "bi-twin")


@pytest.mark.parametrize("preset", ["tiny-twin", "tiny-wide-twin", "tiny-gpt"])
def test_a_causal_opponent_is_pretrained_writes_text_and_becomes_a_retriever(
    run: Run, tmp_path, preset
) -> None:
    text = "\n<|endoftext|>\n".join(20 * DOCUMENTS)
    (tmp_path / "things.txt").write_text(text)
    options = ("--text", "../things.txt", "--max-steps", 5, "--batch-size", 2)
    ended = run("pretrain", preset, "-o", "lm", *options)
    assert (ended.status, ended.out) == (0, "lm\n"), ended.err
    losses = dict(json.loads(Path("lm/mixbench.json").read_text())["validation_loss"])
    assert losses[0] == pytest.approx(math.log(16_384), abs=0.1)
    assert losses[5] < losses[0]
    assert sorted(path.name for path in Path("lm").rglob("*.safetensors")) == [
        "head.safetensors",
        "model.safetensors",
    ]
    written = run("generate", "lm", "the red", "--tokens", 3, "--temperature", 0)
    assert (written.status, written.out[:7]) == (0, "the red"), written.err
    pairs = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    options = ("--pairs", "../p.jsonl", "--max-steps", 1, "--batch-size", 4, "--dev-pairs", 0)
    for base in (preset, "lm"):
        ended = run("train-retriever", base, "-o", f"{base}-tuned", *options)
        assert (ended.status, ended.out.split()[-1]) == (0, f"{base}-tuned"), ended.err
    assert json.loads(Path("lm-tuned/mixbench.json").read_text())["training_sources"] == ["things", "p"]


def test_a_pretrained_folder_generates_goes_on_and_becomes_a_retriever(run: Run, tmp_path, tokenizer) -> None:
    write_text(tmp_path / "things.txt")
    tiny_encoder(tokenizer).save_pretrained("start", create_model_card=False)
    made = run(
        "pretrain", "start", "-o", "lm", "--text", "../things.txt", "--max-steps", 3, "--batch-size", 4
    )
    assert (made.status, made.out) == (0, "lm\n"), made.err
    plain = model_sha256(Path("lm"))
    written = run("generate", "lm", "the red", "--tokens", 5, "--temperature", 0)
    assert written.status == 0
    assert written.out.startswith("the red")
    head = load_file("lm/head.safetensors")
    language = LanguageModel(load_model("lm"))
    assert language.load_head(Path("lm"))
    assert torch.equal(language.head.norm.weight, head["weight"])
    ended = run(
        "pretrain", "lm", "-o", "more", "--text", "../things.txt", "--max-steps", 1, "--batch-size", 4
    )
    assert ended.status == 0, ended.err
    losses = json.loads(Path("lm/mixbench.json").read_text())["validation_loss"]
    assert json.loads(Path("more/mixbench.json").read_text())["validation_loss"][0][1] == losses[-1][1]
    pairs = [{"query": f"which {number}", "positive": one} for number, one in enumerate(DOCUMENTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    options = ("--max-steps", 1, "--batch-size", 8, "--dev-pairs", 0)
    ended = run("train-retriever", "lm", "--pairs", "../p.jsonl", "-o", "tuned", *options)
    assert ended.status == 0, ended.err
    assert json.loads(Path("tuned/mixbench.json").read_text())["training_sources"] == ["things", "p"]
    Path("lm/head.safetensors").unlink()
    assert model_sha256(Path("lm")) == plain
    refused(run("pretrain", "start", "-o", "out", "--text", "absent.txt"), "absent.txt: cannot be read")
    refused(run("pretrain", "start", "-o", "out"), "nothing to train on")


def test_pretraining_needs_none_of_the_packages_of_evaluation(tmp_path, tokenizer) -> None:
    tiny_encoder(tokenizer).save_pretrained(str(tmp_path / "start"), create_model_card=False)
    write_text(tmp_path / "things.txt")
    code = (
        "import sys\nfor name in ('pydantic', 'polars', 'mteb'): sys.modules[name] = None\n"
        "from pathlib import Path\nfrom mixbench.experiments.pretraining import run_pretraining\n"
        "from mixbench.training.language_config import PretrainConfig\n"
        "config = PretrainConfig(max_steps=1, batch_size=2)\n"
        "print(run_pretraining('start', ['things.txt'], config, Path('lm'), device='cpu'))"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "lm\n"), ended.stderr
