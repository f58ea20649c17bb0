"""The bench of training: turns on the same batches, figures that follow from what was timed, honest gaps."""

import io
import json
from itertools import groupby
from pathlib import Path

import pytest
import torch
from command import Run, refused
from rich.console import Console
from sentence_transformers import SentenceTransformer
from tiny_data import json_lines
from transformers import TrainerControl, TrainerState

from mixbench.data.pairs import Pairs
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.bench_train import bench_training
from mixbench.experiments.bench_train_inputs import TrainBenchSettings, bench_pairs
from mixbench.experiments.bench_train_report import RULE, TrainBench, TrainRow, train_table
from mixbench.experiments.matmul_peak import matmul_peak
from mixbench.experiments.step_window import StepWindow
from mixbench.experiments.synthetic_pairs import synthetic_pairs
from mixbench.experiments.training_contender import Contender, forward_flops_per_pair, tokens_per_pair
from mixbench.models.build import build_mixer_encoder, build_static_encoder, build_transformer_encoder
from mixbench.models.tokenizer import load_tokenizer

WIDTH, CONTEXT, QUERY, POSITIVE = 32, 16, 5, 12
TOKENIZER = load_tokenizer()
SETTINGS = TrainBenchSettings(
    batch_size=4, tokens=POSITIVE, query_tokens=QUERY, steps=2, rounds=3, warm_up=1, seed=3
)


def mixer(depth: int = 2, context: int = CONTEXT) -> SentenceTransformer:
    return build_mixer_encoder({"width": WIDTH, "depth": depth, "context": context}, TOKENIZER, seed=0)


def row(name: str, seconds: list[float]) -> TrainRow:
    return TrainRow(
        name=name,
        parameters=1000,
        parameters_without_embedding=600,
        tokens_per_pair=17.0,
        forward_flops_per_pair=100.0,
        seconds=seconds,
        peak_memory_bytes=5_000_000,
    )


def report() -> TrainBench:
    return TrainBench(
        settings={"batch_size": 4},
        pairs_per_round=8,
        rows=[row("ours", [1.0, 2.0, 4.0]), row("theirs", [4.0, 1.0, 2.0])],
        peak={"flops_per_second": 6000.0, "size": 256, "dtype": "float32", "seconds": 1.0},
        notes=["other was left out: too large"],
        provenance={"machine": "a machine"},
    )


def mixer_flops(tokens: int, depth: int) -> int:
    """Token mixing T x T by T x d, then two matrices of d by 4d, 2 operations a multiply-add."""
    return depth * 2 * (tokens * tokens * WIDTH + 2 * tokens * WIDTH * 4 * WIDTH)


def test_synthetic_texts_have_exactly_the_tokens_asked_for() -> None:
    pairs = synthetic_pairs(TOKENIZER, 50, QUERY, POSITIVE, seed=0)
    assert {len(ids) for ids in TOKENIZER(pairs.queries)["input_ids"]} == {QUERY}
    assert {len(ids) for ids in TOKENIZER(pairs.positives)["input_ids"]} == {POSITIVE}
    assert synthetic_pairs(TOKENIZER, 50, QUERY, POSITIVE, seed=0) == pairs
    assert synthetic_pairs(TOKENIZER, 50, QUERY, POSITIVE, seed=1) != pairs
    with pytest.raises(InputError, match="query_tokens is 1; give at least 2"):
        synthetic_pairs(TOKENIZER, 50, 1, POSITIVE, seed=0)


def test_models_take_turns_on_the_same_batches_of_the_lengths_asked_for() -> None:
    models = {"deep": mixer(depth=2), "flat": mixer(depth=1)}
    seen: list[tuple[str, torch.Tensor]] = []
    for name, model in models.items():

        def note(_: object, arguments: tuple[dict[str, torch.Tensor]], name: str = name) -> None:
            if torch.is_grad_enabled():  # counting operations needs no gradient
                seen.append((name, arguments[0]["input_ids"]))

        model[0].register_forward_pre_hook(note)
    bench_training(list(models.items()), bench_pairs(SETTINGS), SETTINGS)
    turns = [(name, [ids for _, ids in turn]) for name, turn in groupby(seen, key=lambda each: each[0])]
    assert [name for name, _ in turns] == ["deep", "flat"] * SETTINGS.rounds
    rows = [[row.tolist() for ids in turn for row in ids] for _, turn in turns]
    assert all(each == rows[0] for each in rows)
    assert len(rows[0]) == 2 * SETTINGS.batch_size * (SETTINGS.warm_up + SETTINGS.steps)
    end, pad = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id
    lengths = [sum(number != pad for number in text) for text in rows[0]]
    assert sorted(lengths) == [QUERY] * (len(rows[0]) // 2) + [POSITIVE] * (len(rows[0]) // 2)
    assert all(text[length - 1] == end for text, length in zip(rows[0], lengths, strict=True))


def test_only_steps_after_the_warm_up_are_timed_and_none_is_logged_or_saved() -> None:
    window, state = StepWindow(2, torch.device("cpu")), TrainerState(max_steps=4)
    started = []
    for state.global_step in (1, 2, 3, 4):
        control = TrainerControl(should_log=True, should_save=True)
        assert window.seconds is None
        window.on_step_end(None, state, control)
        started.append(window.started is not None)
        assert (control.should_log, control.should_save) == (False, False)
    assert started == [False, True, True, True]
    assert window.seconds is not None
    window.on_train_begin(None, state, control)
    assert window.seconds is None


def test_rounds_go_on_training_the_same_weights_and_write_no_file(tmp_path: Path) -> None:
    model, pairs = mixer(), bench_pairs(SETTINGS)
    contender = Contender(
        "ours", model, pairs, SETTINGS.config(), device="cpu", length=POSITIVE, warm_up=1, work=tmp_path
    )
    weights = [model[0].blocks[0].channel_mixing[0].weight.detach().clone()]
    for _ in range(2):
        assert contender.run_round() > 0
        assert contender.trainer.state.global_step == SETTINGS.warm_up + SETTINGS.steps
        weights.append(model[0].blocks[0].channel_mixing[0].weight.detach().clone())
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert contender.memory.most is None


def test_operations_of_a_mixer_are_those_of_its_matrices() -> None:
    pairs = synthetic_pairs(TOKENIZER, 3, QUERY, POSITIVE, seed=0)
    measured = bench_training([("ours", mixer())], bench_pairs(SETTINGS), SETTINGS).rows[0]
    forward = mixer_flops(QUERY, depth=2) + mixer_flops(POSITIVE, depth=2)
    assert forward_flops_per_pair(mixer(), pairs) == measured.forward_flops_per_pair == forward
    assert measured.train_flops_per_pair == 3 * forward
    assert measured.tokens_per_pair == QUERY + POSITIVE
    norms, feedforward = 4 * WIDTH, 8 * WIDTH * WIDTH + 5 * WIDTH
    assert measured.parameters_without_embedding == 2 * (CONTEXT**2 + CONTEXT + norms + feedforward)
    assert measured.parameters == measured.parameters_without_embedding + len(TOKENIZER) * WIDTH


def test_of_pairs_of_several_lengths_the_mean_counts() -> None:
    pairs = Pairs("two", ["wing", "wing wing wing"], ["drag", "drag " * 50])
    lengths = [2, 2, 4, CONTEXT]
    assert tokens_per_pair(mixer(), pairs) == sum(lengths) / 2
    assert forward_flops_per_pair(mixer(), pairs) == sum(mixer_flops(length, 2) for length in lengths) / 2


def test_a_model_of_embeddings_alone_has_no_operations() -> None:
    static = build_static_encoder(WIDTH, TOKENIZER, seed=0)
    measured = bench_training([("static", static)], bench_pairs(SETTINGS), SETTINGS).rows[0]
    assert measured.parameters == len(TOKENIZER) * WIDTH
    assert measured.parameters_without_embedding == measured.forward_flops_per_pair == 0
    assert measured.tokens_per_pair == QUERY + POSITIVE - 2  # it reads no end token


def test_figures_follow_from_the_seconds_of_each_round() -> None:
    ours, theirs = json.loads(report().to_json())["rows"]
    assert ours["pairs_per_second"] == {
        "median": 4.0, "minimum": 2.0, "maximum": 8.0, "rounds": [8.0, 4.0, 2.0]
    }  # fmt: skip
    assert theirs["pairs_per_second"]["rounds"] == [2.0, 8.0, 4.0]
    assert ours["ratio"]["rounds"] == [1.0, 1.0, 1.0]
    # The median of the rounds' ratios, not the ratio of medians, which is 1.
    assert theirs["ratio"] == {"median": 2.0, "minimum": 0.25, "maximum": 2.0, "rounds": [0.25, 2.0, 2.0]}
    assert ours["tokens_per_second"] == 4.0 * 17.0
    assert ours["flops_per_second"] == 4.0 * 3 * 100.0
    assert ours["share_of_peak"] == 1200.0 / 6000.0
    assert json.loads(report().to_json())["rule"] == RULE


def test_a_measured_report_holds_every_round_and_its_ratios() -> None:
    models = [("deep", mixer(depth=2)), ("flat", mixer(depth=1))]
    told = json.loads(bench_training(models, bench_pairs(SETTINGS), SETTINGS).to_json())
    first, second = told["rows"]
    for each in told["rows"]:
        expected = [SETTINGS.steps * SETTINGS.batch_size / seconds for seconds in each["seconds"]]
        assert each["pairs_per_second"]["rounds"] == expected
        assert len(expected) == SETTINGS.rounds
    paces = zip(first["pairs_per_second"]["rounds"], second["pairs_per_second"]["rounds"], strict=True)
    assert second["ratio"]["rounds"] == pytest.approx([theirs / ours for ours, theirs in paces])
    assert told["settings"]["precision"] == "fp32"
    assert told["provenance"]["device"] == "cpu"
    assert told["peak"]["dtype"] == "float32"


def test_the_table_says_who_is_compared_and_who_was_left_out() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(train_table(report()))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("times ours", "theirs", "2.000", "0.250 to 2.000", "20.0%", "too large", "a machine", RULE):
        assert words in shown


def test_a_peer_that_reads_too_little_is_left_out_with_its_reason() -> None:
    models = [("ours", mixer()), ("short", mixer(context=8))]
    measured = bench_training(models, bench_pairs(SETTINGS), SETTINGS)
    assert [each.name for each in measured.rows] == ["ours"]
    assert measured.notes == [
        "short was left out: short reads at most 8 tokens; give --tokens 8 or fewer"
    ]  # fmt: skip
    with pytest.raises(MixbenchError, match="short, which the others are compared with, cannot run: short"):
        bench_training(models[::-1], bench_pairs(SETTINGS), SETTINGS)


def test_a_peer_that_fails_in_its_second_round_is_left_out_whole() -> None:
    failing, steps = mixer(), iter(range(1000))

    def exhaust(*_: object) -> None:
        if torch.is_grad_enabled() and next(steps) > 8:
            raise torch.OutOfMemoryError("no memory\nleft")

    failing[0].register_forward_pre_hook(exhaust)
    models = [("ours", mixer()), ("large", failing), ("theirs", mixer(depth=1))]
    measured = bench_training(models, bench_pairs(SETTINGS), SETTINGS)
    assert [(each.name, len(each.seconds)) for each in measured.rows] == [("ours", 3), ("theirs", 3)]
    assert measured.notes == ["large was left out: no memory left"]


def test_pairs_that_do_not_fill_a_batch_are_refused() -> None:
    pairs = Pairs("few", ["a", "b", "c"], ["x", "y", "z"])
    with pytest.raises(InputError, match="few: only 3 of its pairs can share a batch of 4"):
        bench_training([("ours", mixer())], pairs, SETTINGS)


def test_of_a_file_as_many_pairs_are_taken_as_a_round_has(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json_lines([{"query": f"q{i}", "positive": f"p{i}"} for i in range(100)]))
    pairs = bench_pairs(SETTINGS, path)
    assert len(set(pairs.queries)) == len(pairs) == 4 * (1 + 2)
    assert bench_pairs(SETTINGS, path) == pairs


def test_the_peak_is_of_a_square_product_of_the_precision_asked_for() -> None:
    peak = matmul_peak("cpu", torch.bfloat16, seconds=0.01)
    assert peak.dtype == "bfloat16"
    assert peak.size in {256 * 2**power for power in range(7)}
    assert peak.flops_per_second > 0


def test_the_verb_prints_a_table_and_writes_json(run: Run) -> None:
    small = ("--batch-size", 2, "--tokens", 4, "--query-tokens", 3, "--steps", 1, "--warm-up", 1)
    ended = run("bench", "train", "tiny", "tiny-static", *small, "--rounds", 2, "-o", "bench.json")
    assert ended.status == 0, ended.err
    assert "times tiny" in ended.out
    assert "round 2 of 2: tiny-static" in ended.err
    told = json.loads(Path("bench.json").read_text())
    assert [each["name"] for each in told["rows"]] == ["tiny", "tiny-static"]
    assert told["provenance"]["command"].startswith("mixbench bench train tiny tiny-static --batch-size 2")


def test_settings_that_cannot_be_timed_are_refused_in_one_line(run: Run) -> None:
    refused(run("bench", "train", "smal"), "unknown preset 'smal'", "'small'")
    refused(run("bench", "train", "tiny", "--precision", "fp8"), "precision", "'fp8'")
    refused(run("bench", "train", "tiny", "--pairs", "none.jsonl"), "none.jsonl", "no such file")
    with pytest.raises(InputError, match="rounds is 0; give at least 1"):
        TrainBenchSettings(rounds=0)


def test_learned_positions_are_counted_with_the_network_and_not_with_the_token_embedding() -> None:
    sizes = {"width": 64, "depth": 1, "context": CONTEXT, "feedforward": 256, "gpt": True}
    gpt = build_transformer_encoder(sizes, TOKENIZER, seed=0)
    measured = bench_training([("gpt", gpt)], bench_pairs(SETTINGS), SETTINGS).rows[0]
    block = 12 * 64 * 64 + 13 * 64
    assert measured.parameters_without_embedding == CONTEXT * 64 + block + 2 * 64
