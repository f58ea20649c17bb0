"""The bench of encoding: the same texts or as many tokens for all, each by its own way of encoding."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run, refused

from mixbench.errors import InputError, MixbenchError, UnknownName
from mixbench.experiments.bench_encode import EncodeSettings, bench_encode
from mixbench.experiments.bench_encode_models import open_encoder
from mixbench.experiments.bench_encode_texts import spread_over, synthetic_texts
from mixbench.experiments.model_work import count_tokens, forward_flops
from mixbench.experiments.systems import EncoderOptions
from mixbench.models import build_model
from mixbench.models.int8 import Int8Linear

OPTIONS = EncoderOptions(batch_size=2, max_length=16)
SETTINGS = EncodeSettings(documents=3, tokens=8, rounds=2)
FLAT = "tiny[depth=1,width=64]"


@pytest.mark.parametrize("preset", ["tiny", "tiny-twin", "tiny-static"])
def test_synthetic_texts_have_exactly_the_tokens_that_each_model_reads(preset: str) -> None:
    model = build_model(preset)
    texts = synthetic_texts(preset, model, 20, 9, seed=0)
    assert [count_tokens(model, [text]) for text in texts] == [9] * 20
    assert synthetic_texts(preset, model, 20, 9, seed=0) == texts != synthetic_texts(preset, model, 20, 9, 1)


def test_texts_that_a_model_cannot_read_are_refused() -> None:
    with pytest.raises(InputError, match="tiny reads at most 256 tokens; give --tokens 256 or fewer"):
        synthetic_texts("tiny", build_model("tiny"), 1, 257, seed=0)
    with pytest.raises(InputError, match="tokens is 1; give at least 2, of which tiny adds 1"):
        synthetic_texts("tiny", build_model("tiny"), 1, 1, seed=0)


def test_documents_are_spread_evenly_over_a_corpus() -> None:
    assert spread_over(list("abcdefgh"), 4) == ["a", "c", "e", "g"]
    assert spread_over(["a", "b"], 4) == ["a", "b"]


def test_a_peer_encodes_as_its_users_do_and_ours_gives_the_same_embeddings() -> None:
    texts = ["wing of a plane", "drag", "a much longer text about the drag of wings"]
    peer, ours = open_encoder("st:mixer-tiny", OPTIONS), open_encoder("mixer-tiny", OPTIONS)
    theirs = peer.encode(texts)
    assert isinstance(theirs, np.ndarray)
    np.testing.assert_allclose(theirs, np.asarray(ours.encode(texts)), atol=1e-6)
    assert peer.settings.startswith("sentence-transformers ")
    assert peer.model.max_seq_length == 16


def test_weights_are_in_the_type_that_a_name_begins_with() -> None:
    names = ["mixer-tiny", "bfloat16:mixer-tiny", f"float16:{FLAT}", "bfloat16:st:mixer-tiny"]
    opened = [open_encoder(name, OPTIONS) for name in names]
    assert [each.model.dtype for each in opened] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
        torch.bfloat16,
    ]
    assert opened[3].settings.startswith("sentence-transformers ")
    assert "int8" in open_encoder(f"int8:{FLAT}", OPTIONS).settings
    parts = list(open_encoder(f"int8:st:{FLAT}", OPTIONS).model.modules())
    assert [part for part in parts if isinstance(part, Int8Linear)]
    assert not [part for part in parts if isinstance(part, torch.nn.Linear)]
    with pytest.raises(UnknownName, match=r"unknown .* 'float16'"):
        open_encoder("float16", OPTIONS)


def test_an_untrained_preset_takes_another_shape() -> None:
    model = open_encoder(FLAT, OPTIONS).model
    assert (model.get_embedding_dimension(), len(model[0].blocks)) == (64, 1)
    with pytest.raises(UnknownName, match="unknown preset 'tin'"):
        open_encoder("tin[depth=1]", OPTIONS)
    with pytest.raises(InputError, match="model 'bm25' does not encode texts"):
        open_encoder("bm25", OPTIONS)


def test_a_report_holds_the_work_of_a_document_and_what_the_ratio_could_be() -> None:
    options = EncoderOptions(batch_size=2)
    report = bench_encode(["tiny", FLAT, "tiny-static"], options, SETTINGS, baseline=FLAT)
    told = json.loads(report.to_json())
    assert [row["name"] for row in told["rows"]] == ["tiny", FLAT, "tiny-static"]
    tiny, flat, static = told["rows"]
    blocks = {"tiny": (4, 256), "flat": (1, 64)}
    work = {name: depth * (8 * 8 * d + 2 * 8 * d * 4 * d) for name, (depth, d) in blocks.items()}
    assert tiny["multiply_adds_per_document"] == work["tiny"]
    assert flat["multiply_adds_per_document"] == work["flat"]
    assert tiny["ceiling"] == work["flat"] / work["tiny"]
    assert (static["multiply_adds_per_document"], static["ceiling"]) == (0, None)
    assert {row["tokens_per_document"] for row in told["rows"]} == {8}
    assert {tuple(row["against"][FLAT]["ratio"]["rounds"]) for row in [flat]} == {(1.0, 1.0)}
    pace = tiny["documents_per_second"]["median"]
    assert tiny["flops_per_second"] == pytest.approx(2 * pace * work["tiny"])
    assert tiny["dtype"] == "float32"
    assert tiny["cold_seconds"] > 0
    assert told["settings"]["threads"] >= 1


def test_operations_of_texts_depend_on_their_lengths() -> None:
    model = build_model("tiny", changes={"depth": 1, "width": 64})
    texts = ["wing", "wing wing wing", "drag"]
    lengths = [2, 4, 2]
    assert forward_flops(model, texts) == sum(2 * (t * t * 64 + 8 * t * 64 * 64) for t in lengths)


def test_a_model_that_reads_too_little_is_left_out_unless_it_is_the_baseline() -> None:
    options, settings = EncoderOptions(batch_size=2), EncodeSettings(documents=2, tokens=300, rounds=1)
    report = bench_encode(["base[depth=1,width=64]", "tiny"], options, settings)
    assert [row.name for row in report.rows] == ["base[depth=1,width=64]"]
    assert report.notes[-1].startswith("tiny was left out: tiny reads at most 256 tokens")
    with pytest.raises(MixbenchError, match="tiny, which the others are compared with, cannot run"):
        bench_encode(["base", "tiny"], options, settings, baseline="tiny")


def test_the_verb_times_documents_of_a_task(run: Run) -> None:
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data", "--threads", 1)
    ended = run("bench", "encode", "-m", "tiny", "-m", FLAT, "-t", "zoo/tiny", *places, "-o", "out.json")
    assert ended.status == 0, ended.err
    assert "times tiny" in ended.out
    assert FLAT in ended.out
    told = json.loads(Path("out.json").read_text())
    assert told["settings"]["texts"] == "zoo/tiny"
    assert told["settings"]["documents"] == 3
    assert told["settings"]["threads"] == 1
    assert [len(row["seconds"]["rounds"]) for row in told["rows"]] == [5, 5]


def test_what_cannot_be_timed_is_refused_in_one_line(run: Run) -> None:
    refused(run("bench", "encode", "-m", "tiny"), "give either -t or --tokens")
    refused(run("bench", "encode", "-m", "tiny", "-m", "tiny", "--tokens", 4), "'tiny' is named twice")
    refused(
        run("bench", "encode", "-m", "tiny", "--tokens", 4, "--baseline", "tin"),
        "unknown baseline 'tin'",
        "'tiny'",
    )
    with pytest.raises(InputError, match="rounds is 0; give at least 1"):
        EncodeSettings(rounds=0)
