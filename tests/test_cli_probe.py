"""`mixbench probe`: what it prints and writes, and what it refuses in a line."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command import Ended, Run, refused

from mixbench.experiments.estimates import estimate

SMALL = ("--set", "width=16", "--set", "depth=2", "--set", "context=16")
QUICK = ("--steps", "5", "--texts", "2", "--length", "6")
SHARES = ("ham", "top1", "top5")


def probe(run: Run, *arguments: object) -> Ended:
    return run("probe", *arguments)


def test_a_preset_is_inverted_on_the_embedded_texts_and_a_table_is_all_that_is_printed(run: Run) -> None:
    ended = probe(run, "tiny", *SMALL, *QUICK)
    assert ended.status == 0, ended.err
    assert "Inversion, fair form: all tokens" in ended.out
    (row,) = (line for line in ended.out.splitlines() if "untrained-tiny" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells[0] == "untrained-tiny[context=16,depth=2,width=16]"
    assert cells[2:4] == ["2", "6"]
    assert list(Path().iterdir()) == []


def test_json_has_a_row_for_each_layer_and_length_with_intervals(run: Run) -> None:
    ended = probe(run, "tiny", *SMALL, *QUICK, "--length", "4", "--layers", "all", "--seeds", "2", "--json")
    rows = json.loads(ended.out)
    assert [(row["layer"], row["tokens"]) for row in rows] == [(1, 6), (1, 4), (2, 6), (2, 4)]
    for row in rows:
        assert (row["texts"], row["seeds"], row["hidden"]) == (2, 2, 0)
        assert row["embedding_deviation"] == pytest.approx(1.0, abs=0.02)
        for share in SHARES:
            assert 0 <= row[share]["low"] <= row[share]["mean"] <= row[share]["high"] <= 1


def test_a_record_of_each_inversion_says_what_was_done_and_what_each_text_gave(run: Run) -> None:
    places = ("-o", "records")
    arguments = (
        "tiny",
        *SMALL,
        *QUICK,
        "--form",
        "paper",
        "--hidden",
        "2",
        "--seeds",
        "2",
        *places,
        "--json",
    )
    (row,) = json.loads(probe(run, *arguments).out)
    first, second = (json.loads(path.read_text()) for path in sorted(Path("records").rglob("*.json")))
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["model_sha256"] != second["model_sha256"]
    assert first["source"] == second["source"]
    assert (first["layer"], first["layers"], first["tokens"], first["architecture"]) == (
        2,
        2,
        6,
        "masked mixer",
    )
    assert first["settings"] == {
        "form": "paper",
        "steps": 5,
        "rate": 0.02,
        "noise": 0.05,
        "hidden": 2,
        "vocabulary": None,
        "embedding_deviation": None,
    }
    assert first["provenance"]["command"].startswith("mixbench probe tiny --set width=16")
    for share in SHARES:
        texts = [text[share] for record in (first, second) for text in record["texts"]]
        assert len(texts) == 4
        assert row[share]["mean"] == pytest.approx(sum(texts) / 4)
    again = {path: path.read_bytes() for path in Path("records").rglob("*.json")}
    probe(run, *arguments)
    assert {path: path.read_bytes() for path in Path("records").rglob("*.json")} == again


def test_a_shorter_length_takes_the_beginnings_of_the_same_texts(run: Run) -> None:
    probe(run, "tiny", *SMALL, *QUICK, "--length", "4", "--form", "paper", "--seeds", "1", "-o", "records")
    records = [json.loads(path.read_text()) for path in Path("records").rglob("*.json")]
    noise = {record["tokens"]: record["texts"][0]["noise_loss"] for record in records}
    assert noise[4] / noise[6] == pytest.approx(4 / 6, rel=0.15), "the paper's loss is a sum over tokens"


def test_the_deviation_of_the_embeddings_can_be_chosen_and_decides_the_papers_form(run: Run) -> None:
    ham = {}
    for deviation in (1.0, 0.01):
        arguments = ("--random", "--vocabulary", "300", "--texts", "2", "--length", "8", "--form", "paper")
        shape = ("--set", "width=64", "--set", "depth=1", "--set", "context=8")
        chosen = ("--embedding-deviation", deviation, "--json")
        (row,) = json.loads(probe(run, "tiny", *shape, *arguments, *chosen).out)
        assert row["embedding_deviation"] == pytest.approx(deviation, rel=0.02)
        ham[deviation] = row["ham"]["mean"]
    assert ham[1.0] == 0
    assert ham[0.01] > 0.5


def test_the_chart_has_a_line_for_each_model_and_length(run: Run) -> None:
    ended = probe(run, "tiny", *SMALL, *QUICK, "--length", "4", "--layers", "1,2", "--plot", "chart.svg")
    assert ended.status == 0, ended.err
    chart = ElementTree.parse("chart.svg").getroot()
    name = "untrained-tiny[context=16,depth=2,width=16]"
    texts = [each.text for each in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "top-1 accuracy, fair form"
    assert texts[-2:] == [f"{name}, 6 tokens", f"{name}, 4 tokens"]
    lines = list(chart.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 2]


def test_texts_of_a_file_are_its_documents_that_are_long_enough(run: Run) -> None:
    Path("some.txt").write_text("too short<|endoftext|>one two three four five six seven<|endoftext|>\n" * 2)
    Path("some.jsonl").write_text('{"text": "one two three four five six seven"}\n' * 2)
    first = json.loads(probe(run, "tiny", *SMALL, *QUICK, "--text", "some.txt", "--json").out)
    second = json.loads(probe(run, "tiny", *SMALL, *QUICK, "--text", "some.jsonl", "--json").out)
    assert first == second
    many = ("--texts", "3", "--length", "6")
    refused(probe(run, "tiny", *SMALL, *many, "--text", "some.txt"), "some.txt: 2 of its documents have")
    Path("long.txt").write_text("one two three four five six seven\n" * 10_000)
    refused(probe(run, "tiny", *SMALL, *many, "--text", "long.txt"), "long.txt: 1 of its documents have")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bm25"], "'bm25' has no token embeddings to probe"),
        (["tiny-static"], "a model of StaticEmbedding has no layers"),
        (["tini"], "unknown model 'tini'; did you mean 'tiny'"),
        (["tiny", "tiny"], "two of the models are called 'untrained-tiny'"),
        (["tiny", "--form", "pap"], "unknown form of inversion 'pap'; did you mean 'paper'"),
        (["tiny", "--layers", "5"], "there is no layer 5: this model has 1 to 4"),
        (["tiny", *QUICK, "--layers", "1,5"], "there is no layer 5: this model has 1 to 4"),
        (["tiny", "--layers", "last"], "layers 'last': give numbers with commas, as 1,4, or all"),
        (["tiny", "--length", "257"], "257 tokens do not fit the context of 256"),
        (["tiny", "--length", "8", "--hidden", "8"], "of 8 tokens 8 cannot be hidden"),
        (["tiny", "--random", "--text", "x.txt"], "--random takes no text"),
        (["tiny", "--vocabulary", "9"], "--vocabulary says which tokens are drawn"),
        (["tiny", "--random", "--vocabulary", "16385"], "a vocabulary of 16385 asked of a model with 16384"),
        (["tiny", "--text", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["tiny", "--embedding-deviation", "0"], "embedding_deviation must be above 0"),
        (["mixer-tiny", "--embedding-deviation", "1"], "--embedding-deviation changes untrained presets"),
        (["mixer-tiny", "--set", "depth=2"], "--set changes untrained presets"),
        (["tiny-twin", "--set", "groups=2"], "it is no mixer and has no groups to set"),
        (["tiny", "--device", "nonsense"], "device 'nonsense' cannot be used"),
    ],
)
def test_what_cannot_be_probed_is_one_line_and_nothing_is_written(
    run: Run, arguments: list[str], message: str
) -> None:
    refused(probe(run, *arguments, "-o", "out"), message)


def test_an_interval_is_of_means_over_texts_drawn_again() -> None:
    same = estimate([[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    assert (same.mean, same.low, same.high) == (0.5, 0.5, 0.5)
    two = estimate([[0.0, 1.0]])
    assert (two.mean, two.low, two.high) == (0.5, 0, 1)
    many = [[number**0.5 for number in range(40)]]
    assert estimate(many) == estimate(many), "the draws have a seed"
