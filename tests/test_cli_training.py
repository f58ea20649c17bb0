"""The command line on training: a retriever and a tokenizer made from pairs, and what is refused."""

import json
from pathlib import Path

import pytest
from command import Run, evaluate, refused

from mixbench.results import find_results


def write_pairs(path: Path, count: int = 40) -> Path:
    things = ["wing", "plate", "flow", "jet", "shock"]
    lines = [
        {"query": f"what is {things[i % 5]} {i}", "positive": f"{things[i % 5]} number {i} is a thing"}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_retriever_is_trained_on_pairs_and_evaluated_by_its_folder(run: Run, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "things.jsonl")
    training = ("--batch-size", 8, "--max-steps", 2, "--max-length", 12, "--dev-pairs", 0, "--seed", 1)
    ended = run(
        "train-retriever", "tiny", "--pairs", pairs, "-o", "model", "--licence", "things=CC0-1.0", *training
    )
    assert (ended.status, ended.out) == (0, "model\n"), ended.err
    record = json.loads(Path("model/mixbench.json").read_text())
    assert (record["steps"], record["seed"], record["training_sources"]) == (2, 1, ["things"])
    assert record["command"] == (
        "mixbench train-retriever tiny --pairs things.jsonl -o model --licence things=CC0-1.0"
        " --batch-size 8 --max-steps 2 --max-length 12 --dev-pairs 0 --seed 1"
    )
    assert record["sources"][0]["licence"] == "CC0-1.0"
    assert "things" in Path("model/README.md").read_text()
    ended = evaluate(run, "-m", "model", "-t", "zoo")
    assert ended.status == 0, ended.err
    (result,) = find_results(Path("out"))
    assert (result.model, result.training_sources, result.costs.parameters) == (
        "model",
        ("things",),
        6_563_840,
    )
    ended = run("train-retriever", "tiny", "--pairs", pairs, "-o", "model", *training)
    assert (ended.status, ended.out) == (1, "")
    assert "model: exists already" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny"], "nothing to train on"),
        (["tinny", "--pairs", "../p.jsonl"], "tinny"),
        (["tiny", "--pairs", "absent.jsonl"], "absent.jsonl: "),
        (["tiny", "--pairs", "../p.jsonl:heavy"], "heavy"),
        (["tiny", "--pairs", "../p.jsonl", "--exclude-task", "zoo/no"], "unknown task or benchmark 'zoo/no'"),
        (["tiny", "--pairs", "../p.jsonl", "--temperature", "0"], "temperature"),
        (["tiny", "--pairs", "../bad.jsonl"], "bad.jsonl:2: "),
        (["tiny", "--task", "zoo/tiny"], "train"),
    ],
)
def test_training_that_cannot_be_done_is_one_line_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_pairs(tmp_path / "p.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "positive": "b"}\n{"query": "a"}\n')
    places = ("--tasks-dir", "../tasks", "--data-dir", "../data")
    refused(run("train-retriever", *arguments, *places, "-o", "out"), message)
    assert list(Path().iterdir()) == []


def test_training_on_more_tokens_than_the_context_is_one_line(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    options = ("--max-steps", 1, "--batch-size", 8, "--dev-pairs", 0, "--max-length", 9999)
    refused(run("train-retriever", "tiny", "--pairs", "../p.jsonl", "-o", "out", *options), "9999")


@pytest.mark.parametrize(
    ("base", "settings", "recorded"),
    [
        ("tiny", ["pooling=lasttoken", "groups=4", "depth=1"], "tiny[depth=1,groups=4,pooling=lasttoken]"),
        ("tiny-identity", ["depth=1"], "tiny-identity[depth=1]"),
        ("tiny", ["causal=false", "depth=1"], "tiny[causal=false,depth=1]"),
        ("tiny-static", [], "tiny-static"),
        ("tiny-twin", ["pooling=lasttoken"], "tiny-twin[pooling=lasttoken]"),
    ],
)
def test_a_variant_is_trained_recorded_and_evaluated(
    run: Run, tmp_path: Path, base: str, settings: list[str], recorded: str
) -> None:
    pairs = write_pairs(tmp_path / "things.jsonl")
    options = ("--batch-size", 8, "--max-steps", 2, "--dev-pairs", 2)
    changes = [part for setting in settings for part in ("--set", setting)]
    ended = run("train-retriever", base, *changes, "--pairs", pairs, "-o", "model", *options)
    assert (ended.status, ended.out) == (0, "model\n"), ended.err
    record = json.loads(Path("model/mixbench.json").read_text())
    assert (record["base"], record["steps"]) == (recorded, 2)
    config = Path("model/mixer_config.json")
    stated = json.loads(config.read_text()) if config.is_file() else {}
    pooling = Path("model/1_Pooling/config.json")
    for setting in settings:
        field, _, value = setting.partition("=")
        where = json.loads(pooling.read_text())["pooling_mode"] if field == "pooling" else stated[field]
        assert str(where).lower() == value
    ended = evaluate(run, "-m", "model", "-t", "zoo")
    assert ended.status == 0, ended.err
    (result,) = find_results(Path("out"))
    assert result.model == "model"


@pytest.mark.parametrize(
    ("base", "options", "message"),
    [
        ("tiny", ["--set", "groups"], "--set 'groups': give FIELD=VALUE, as in groups=8"),
        ("tiny", ["--set", "groops=8"], "a mixer has no field 'groops'; known: width, depth, context,"),
        ("tiny", ["--set", "vocabulary=8"], "a mixer has no field 'vocabulary'"),
        ("tiny", ["--set", "groups=x"], "--set 'groups=x': 'x' is no whole number"),
        ("tiny", ["--set", "causal=no"], "--set 'causal=no': 'no' is none of true, false"),
        ("tiny", ["--set", "pooling=max"], "'max' is none of mean, lasttoken"),
        ("tiny", ["--set", "groups=4", "--set", "groups=8"], "'groups' is set twice"),
        ("tiny", ["--set", "groups=7"], "--set on preset 'tiny': groups must divide the width, 256"),
        ("tiny-identity", ["--set", "pooling=lasttoken"], "every text has the same last token"),
        ("tiny-twin", ["--set", "groups=4"], "'tiny-twin': it is no mixer and has no groups to set"),
        ("tiny-static", ["--set", "pooling=mean"], "'tiny-static': it is no mixer and has no pooling to set"),
        ("mixer-tiny", ["--set", "groups=4"], "--set on 'mixer-tiny': its weights do not fit"),
        ("tiny-static", ["--shrink"], "--shrink stores the weights of mixers, and 'tiny-static' is none"),
        ("tiny-static", ["--max-length", "9"], "StaticEmbedding always reads whole texts"),
        ("tiny-static", ["--mini-batch-size", "4"], "StaticEmbedding takes none"),
    ],
)
def test_a_setting_that_a_model_cannot_have_is_one_line_and_nothing_is_written(
    run: Run, tmp_path: Path, base: str, options: list[str], message: str
) -> None:
    write_pairs(tmp_path / "p.jsonl")
    refused(run("train-retriever", base, *options, "--pairs", "../p.jsonl", "-o", "out"), message)
    assert list(Path().iterdir()) == []


def test_a_licence_of_no_source_is_refused(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    options = ("--max-steps", 1, "--batch-size", 8, "--dev-pairs", 0, "--licence", "q=MIT")
    refused(run("train-retriever", "tiny", "--pairs", "../p.jsonl", "-o", "out", *options), "'q'")


def test_a_tokenizer_is_trained_from_pairs_and_text(run: Run, tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.jsonl")
    (tmp_path / "t.txt").write_text("a line of text\n" * 5)
    ended = run(
        "train-tokenizer", "t.json", "--pairs", "../p.jsonl", "--text", "../t.txt", "--vocabulary", 300
    )
    assert (ended.status, ended.out) == (0, "t.json\n")
    assert len(json.loads(Path("t.json").read_text())["model"]["vocab"]) == 300
    Path("t.json").unlink()
    refused(run("train-tokenizer", "t.json"), "nothing to train a tokenizer on: give --pairs or --text")
    assert list(Path().iterdir()) == []
