"""What a board says of its certainty: marks, ranks, seeds, clusters, controls, fronts; its other forms."""

import csv
import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import make_result, numbered
from test_leaderboard import cells
from word_overlap import make_task

from mixbench.errors import InputError
from mixbench.experiments import readme
from mixbench.leaderboard import Analysis, read_board, render, render_board, to_csv, to_json
from mixbench.leaderboard.analysis import DRAWN_TASKS
from mixbench.leaderboard.standings import ALPHA
from mixbench.leaderboard.statistics import RESAMPLES
from mixbench.results import Result, query_scores_path, save_clusters, sha256_text

SEA, LAND = make_task("toy/sea"), make_task("toy/land")
HARD = np.random.default_rng(0).random(60)
"""What makes each of sixty queries hard for every system."""


def add(output: Path, model: str, level: float, task: str = "toy/sea", **fields: Any) -> Result:
    """Store a system whose scores are about `level` times those of a perfect one."""
    noise = np.random.default_rng(sum(model.encode())).normal(0, 0.02, 60)
    return make_result(output, task, model, numbered(np.clip(level * HARD + noise, 0, 1)), **fields)


def board(output: Path) -> Analysis:
    return read_board(output / "toy", [SEA, LAND])


def test_the_best_is_bold_and_what_is_not_separable_from_it_is_marked(tmp_path: Path) -> None:
    add(tmp_path, "best", 0.9)
    add(tmp_path, "close", 0.9)
    add(tmp_path, "far", 0.6)

    rows = cells(render(board(tmp_path)), "Main scores")

    assert [row[0].split()[0] for row in rows] == ["`best`", "`close`", "`far`"]
    assert rows[0][-1].startswith("**[")
    assert rows[0][-1].endswith(")**")
    assert [row[-1].endswith("≈") for row in rows] == [False, True, False]
    assert [row[1] for row in rows] == ["1 (1–2)", "2 (1–2)", "3 (3–3)"]


def test_a_page_says_how_far_each_row_is_from_the_best(tmp_path: Path) -> None:
    add(tmp_path, "best", 0.9)
    add(tmp_path, "far", 0.6)
    standings = board(tmp_path).standings

    (row,) = cells(render(board(tmp_path)), "Distance from the best")

    gap = standings[1].gap
    assert gap is not None
    assert standings[0].gap is None
    assert standings[1].mean is not None
    assert standings[0].mean is not None
    assert gap.difference == pytest.approx(standings[1].mean.score - standings[0].mean.score)
    assert gap.low < gap.difference < gap.high < 0
    assert gap.p_randomisation == pytest.approx(1 / 10_001)
    assert row[1].startswith("−.")
    assert row[3:5] == ["<.001", "<.001"]


def test_seeds_of_one_recipe_are_one_row_with_their_spread(tmp_path: Path) -> None:
    for seed, level in enumerate((0.6, 0.7, 0.8)):
        command = f"mixbench train-retriever tiny -o out-{seed} --seed {seed} --batch-size 8"
        add(tmp_path, f"mine-{seed}", level, training_command=command)
    add(tmp_path, "other", 0.5, training_command="mixbench train-retriever tiny -o other --batch-size 16")

    analysis = board(tmp_path)
    rows = cells(render(analysis), "Main scores")

    seeds, other = analysis.standings
    means = [result.main_score for result in seeds.contender.results("toy/sea")]
    assert (seeds.contender.seeds, other.contender.seeds) == ((0, 1, 2), ())
    assert seeds.mean is not None
    assert seeds.mean.score == pytest.approx(np.mean(means))
    assert seeds.mean.seed_spread == pytest.approx(np.std(means, ddof=1))
    assert rows[0][0] == "`mine-0` 3 seeds"
    assert f"± {np.std(means, ddof=1):.3f}".replace("0.", ".") in rows[0][-1]
    assert rows[0][-1].count(".json)") == 3
    assert "A row of several seeds is one recipe" in render(analysis)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train-retriever tiny --seed 1", "train-retriever tiny --seed 1 -o b"),
        ("train-retriever tiny --seed 1", "train-retriever small --seed 2"),
        ("train-retriever tiny", "train-retriever tiny --seed 0"),
    ],
)
def test_what_differs_in_more_than_its_seed_or_not_in_it_is_two_rows(
    tmp_path: Path, one: str, other: str
) -> None:
    add(tmp_path, "one", 0.6, training_command=f"mixbench {one}")
    add(tmp_path, "other", 0.6, training_command=f"mixbench {other}")

    assert len(board(tmp_path).standings) == 2


def test_an_untrained_model_of_two_seeds_is_one_row(tmp_path: Path) -> None:
    first = add(tmp_path, "untrained", 0.6)
    provenance = first.provenance.model_copy(update={"seed": 1})
    recipe = {"model_sha256": "others"}
    add(tmp_path, "untrained", 0.6, recipe=recipe, provenance=provenance)

    assert [standing.contender.seeds for standing in board(tmp_path).standings] == [(0, 1)]


def test_queries_that_share_a_document_are_drawn_together_where_that_is_recorded(tmp_path: Path) -> None:
    scores = numbered(np.repeat([0.0, 0.5, 1.0, 0.25, 0.75, 0.1], 10))
    result = make_result(tmp_path, "toy/sea", "mine", scores, known_item=True)
    alone = board(tmp_path)
    clusters = {f"q{number}": number // 10 for number in range(60)}

    save_clusters(tmp_path, "toy/sea", result.data_sha256, clusters)

    together = board(tmp_path)
    before, after = (each.standings[0].cells["toy/sea"] for each in (alone, together))
    assert (alone.unclustered, together.clustered) == (["toy/sea"], ["toy/sea"])
    assert (after.high - after.low) > 2 * (before.high - before.low)
    assert "is not recorded, so they are drawn singly: sea." in render(alone)
    assert "- Queries that look for the same document are drawn together: sea." in render(together)


def test_clusters_of_other_queries_are_refused_by_name(tmp_path: Path) -> None:
    result = add(tmp_path, "mine", 0.5, known_item=True)
    path = save_clusters(tmp_path, "toy/sea", result.data_sha256, {"q0": 0, "q1": 0})

    with pytest.raises(InputError, match=f"{path.name}: not the clusters of the queries of toy/sea"):
        board(tmp_path)

    other = save_clusters(tmp_path, "toy/sea", "0" * 64, {f"q{number}": 0 for number in range(60)})
    other.rename(path)
    with pytest.raises(InputError, match=f"{path.name}: not the clusters of the queries of toy/sea"):
        board(tmp_path)


def test_eight_tasks_are_drawn_and_seven_held_fixed(tmp_path: Path) -> None:
    widths = []
    for count in (7, 8):
        output = tmp_path / str(count)
        for number in range(count):
            level = 0.2 + 0.1 * number
            make_result(output, f"toy/t{number}", "mine", numbered(np.full(30, level)))
        analysis = read_board(output / "toy", [])
        mean = analysis.standings[0].mean
        assert mean is not None
        widths.append(round(mean.high - mean.low, 3))
        assert analysis.tasks_drawn == (count == 8)
        assert ("8 or more tasks" in render(analysis)) == (count == 8)
    assert widths[0] == 0
    assert widths[1] > 0.1


MIXER: dict[str, Any] = {"architecture": "masked mixer"}
CONTROL: dict[str, Any] = {"architecture": "mean of token embeddings", "control_of": "masked mixer"}


def test_a_control_that_is_not_worse_is_in_the_first_paragraph(tmp_path: Path) -> None:
    add(tmp_path, "transformer", 0.95)
    add(tmp_path, "mixer", 0.7, **MIXER)
    add(tmp_path, "bad-mixer", 0.3, **MIXER)
    add(tmp_path, "static", 0.69, **CONTROL)
    add(tmp_path, "poor", 0.4, **CONTROL)

    analysis = board(tmp_path)

    gap = analysis.controls[0].gap
    assert gap is not None
    assert gap.difference < 0 <= gap.high
    assert [check.worse for check in analysis.controls] == [False, True]
    first = render(analysis).split("\n\n")[1].splitlines()
    assert first[0] == "**A control is not worse than what it controls.**"
    assert first[1].startswith("`static` ")
    assert "is not significantly worse than the best model recorded as masked mixer, `mixer` " in first[1]
    assert first[2].startswith("`poor` ")
    assert "is significantly worse than" in first[2]


def test_a_control_that_is_better_is_not_worse_and_no_rival_of_other_controls(tmp_path: Path) -> None:
    add(tmp_path, "mixer", 0.7, **MIXER)
    add(tmp_path, "untrained", 0.9, architecture="masked mixer", control_of="masked mixer")
    add(tmp_path, "static", 0.8, **CONTROL)

    analysis = board(tmp_path)
    checks = analysis.controls

    assert [check.worse for check in checks] == [False, False]
    assert [check.better for check in checks] == [True, True]
    first = render(analysis).split("\n\n")[1].splitlines()
    assert first[0] == "**A control is better than what it controls.**"
    assert all("is significantly better than" in line for line in first[1:])
    assert [check.best.model for check in checks if check.best is not None] == ["mixer", "mixer"]


def test_a_board_whose_controls_are_worse_says_no_more_than_that(tmp_path: Path) -> None:
    add(tmp_path, "mixer", 0.7, **MIXER)
    add(tmp_path, "static", 0.4, **CONTROL)
    page = render(board(tmp_path))

    assert "is significantly worse than the best model recorded as masked mixer" in page.split("\n\n")[1]
    assert "**A control" not in page


def test_a_control_without_a_rival_on_all_tasks_is_said_to_be_untested(tmp_path: Path) -> None:
    add(tmp_path, "static", 0.4, **CONTROL)
    add(tmp_path, "static", 0.4, task="toy/land", **CONTROL)
    add(tmp_path, "mixer", 0.7, **MIXER)

    assert "a control of the masked mixer, is not tested" in render(board(tmp_path)).split("\n\n")[1]


def priced(result: Result, **costs: Any) -> dict[str, Any]:
    return {"costs": result.costs.model_copy(update=costs)}


def test_a_row_is_on_the_front_where_none_is_as_good_and_as_cheap(tmp_path: Path) -> None:
    base = add(tmp_path, "good", 0.9)
    for name, level, parameters in (("good", 0.9, 100), ("cheap", 0.5, 10), ("neither", 0.4, 50)):
        add(tmp_path, name, level, **priced(base, parameters=parameters * 10**6))

    (front,) = [each for each in board(tmp_path).fronts if each.cost.name == "parameters"]
    table = cells(render(board(tmp_path)), "Quality and cost")

    assert [(point.contender.model, point.on_front) for point in front.points] == [
        ("good", True),
        ("cheap", True),
        ("neither", False),
    ]
    assert [row[1].split()[0] + row[3] for row in table if row[0].startswith("parameters")] == [
        "`good`100",
        "`cheap`10",
    ]


def test_of_two_rows_that_are_as_good_the_cheaper_is_on_the_front(tmp_path: Path) -> None:
    base = make_result(tmp_path, "toy/sea", "dear", numbered(HARD))
    make_result(tmp_path, "toy/sea", "cheap", numbered(HARD), **priced(base, parameters=0))

    (front,) = [each for each in board(tmp_path).fronts if each.cost.name == "parameters"]

    assert {point.contender.model: point.on_front for point in front.points} == {"dear": False, "cheap": True}


def test_speeds_of_two_machines_are_on_no_front_together(tmp_path: Path) -> None:
    here = add(tmp_path, "here", 0.9)
    there = here.provenance.model_copy(update={"machine": "Another"})
    for name in ("there", "there-too"):
        add(tmp_path, name, 0.5, provenance=there)

    timed = [front for front in board(tmp_path).fronts if front.cost.timed]

    assert {front.machine for front in timed} == {f"Another, cpu, {here.provenance.threads} threads"}
    assert all(point.contender.model != "here" for front in timed for point in front.points)


def test_the_time_of_a_query_alone_stands_among_the_costs(tmp_path: Path) -> None:
    base = add(tmp_path, "timed", 0.9)
    add(tmp_path, "timed", 0.9, **priced(base, query_seconds_p50=0.0125, query_seconds_p95=0.2))
    add(tmp_path, "untimed", 0.8, **priced(base, query_seconds_p50=None, query_seconds_p95=None))

    rows = cells(render(board(tmp_path)), "Costs")

    assert [row[6:8] for row in rows] == [["12.5", "200"], ["–", "–"]]


# Bad input


def test_results_of_one_column_with_other_queries_are_refused_naming_both(tmp_path: Path) -> None:
    one = add(tmp_path, "one", 0.9)
    two = make_result(tmp_path, "toy/sea", "two", numbered(HARD[:50]))

    with pytest.raises(InputError) as refused:
        board(tmp_path)
    assert f"{two.place} has 50 queries, {one.place} 60; 'q50' is in one alone" in str(refused.value)


def test_missing_query_scores_are_refused_by_name(tmp_path: Path) -> None:
    path = query_scores_path(tmp_path / add(tmp_path, "one", 0.9).place)
    path.unlink()

    with pytest.raises(InputError, match=f"{path}: cannot be read"):
        board(tmp_path)


@pytest.mark.parametrize("score", ["NaN", "1.5", "-0.1"])
def test_query_scores_that_are_no_scores_are_refused_by_name(tmp_path: Path, score: str) -> None:
    path = tmp_path / make_result(tmp_path, "toy/sea", "one", numbered([0.25, 0.5, 0.75])).place
    beside = query_scores_path(path)
    text = gzip.decompress(beside.read_bytes()).replace(b"0.5", score.encode())
    beside.write_bytes(gzip.compress(text))
    stated = {**json.loads(path.read_text()), "queries_sha256": sha256_text(text.decode())}
    path.write_text(json.dumps(stated))

    with pytest.raises(InputError, match=rf"{beside}: ndcg_at_10 of query 'q1' is {score.lower()}, no score"):
        board(tmp_path)


def test_two_files_of_one_place_are_refused_naming_both(tmp_path: Path) -> None:
    result = add(tmp_path, "one", 0.9)
    path = tmp_path / result.place
    copy = tmp_path / "toy" / "old" / result.place
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())

    with pytest.raises(InputError) as refused:
        board(tmp_path)
    assert str(path) in str(refused.value)
    assert str(copy) in str(refused.value)


# Other forms


def test_the_csv_has_a_line_for_each_row(tmp_path: Path) -> None:
    for model, level in (("best", 0.9), ("far", 0.6)):
        for task in ("toy/sea", "toy/land"):
            add(tmp_path, model, level, task=task)
    add(tmp_path, "part", 0.7)
    analysis = board(tmp_path)

    rows = list(csv.DictReader(to_csv(analysis).splitlines()))

    assert [(row["model"], row["rank"], row["borda"]) for row in rows] == [
        ("best", "1", "1"),
        ("far", "2", "2"),
        ("part", "", "2"),
    ]
    assert float(rows[0]["sea"]) == pytest.approx(analysis.standings[0].cells["toy/sea"].score, abs=1e-6)
    assert float(rows[0]["sea_low"]) < float(rows[0]["sea"]) < float(rows[0]["sea_high"])
    assert (rows[2]["mean"], rows[2]["land"]) == ("", "")
    assert rows[1]["gap"].startswith("-0.")
    assert rows[0]["parameters"] == "1"


def test_the_json_has_what_the_page_says(tmp_path: Path) -> None:
    result = add(tmp_path, "best", 0.9)
    add(tmp_path, "static", 0.9, **CONTROL)

    read = json.loads(to_json(board(tmp_path)))

    assert (read["benchmark"], read["metrics"], read["tasks_drawn"]) == ("toy", {"sea": "nDCG@10"}, False)
    assert [row["model"] for row in read["rows"]] == ["best", "static"]
    sea = read["rows"][0]["tasks"]["sea"]
    assert sea["results"] == [str(result.place.relative_to("toy"))]
    assert sea["scores"][0]["mrr_at_10"] == pytest.approx(result.scores.mrr_at_10, abs=1e-6)
    control = read["controls"][0]
    assert (control["best"], control["worse"], control["better"]) == (None, False, False)
    assert {"cost", "unit", "machine", "points"} == set(read["fronts"][0])


def test_the_readme_names_the_numbers_that_boards_are_made_with() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()

    assert f"{RESAMPLES:,} resamples of the queries" in readme
    assert f"A benchmark of {DRAWN_TASKS} tasks or more" in readme
    assert f"(p < {ALPHA}".replace("0.", ".") in readme


def test_the_readme_ranks_what_has_results_on_every_task_of_both_boards(tmp_path: Path) -> None:
    for model, level in (("worse", 0.5), ("better", 0.9)):
        for task in ("beir/sea", "classic/land"):
            add(tmp_path, model, level, task)
    add(tmp_path, "half", 0.9, "beir/sea")

    head, _, *rows = [line.split("|")[1:-1] for line in readme.retrievers(tmp_path).splitlines()]

    assert [cell.strip() for cell in head[-2:]] == ["sea", "land"]
    assert [row[0].split()[0] for row in rows] == ["`better`", "`worse`"]
    for row in rows:
        mean = float(row[2].split()[0])
        assert mean == pytest.approx(np.mean([float(cell) for cell in row[-2:]]), abs=0.0011)


def test_the_readme_compares_ours_with_each_peer_and_each_model_with_the_first(tmp_path: Path) -> None:
    def store(name: str, against: list[str], ratios: dict[str, dict[str, float]]) -> None:
        rows = [
            {"name": row, "against": {
                peer: {"ratio": {"median": ratio, "minimum": ratio - 0.5, "maximum": ratio + 0.5}}
                for peer, ratio in each.items()
            }}
            for row, each in ratios.items()
        ]  # fmt: skip
        bench = {
            "title": f"Work {name}",
            "settings": {"k": 3, "tokens": None},
            "against": against,
            "rows": rows,
            "provenance": {"command": f"mixbench bench {name}", "machine": "M", "date": "2026-11-27"},
        }
        (tmp_path / f"bench-{name}.json.gz").write_bytes(gzip.compress(json.dumps(bench).encode()))

    store("one", ["peer"], {"ours": {"peer": 2.0}, "peer": {"peer": 1.0}})
    store("two", ["base"], {"base": {"base": 1.0}, "fast": {"base": 3.0}, "slow": {"base": 0.75}})

    lines = readme.speeds(tmp_path).splitlines()

    assert lines[2:5] == [
        "| Work one: k 3 | `ours` | `peer` | 2.00 (1.50 to 2.50) |",
        "| Work two: k 3 | `fast` | `base` | 3.00 (2.50 to 3.50) |",
        "|  | `slow` | `base` | 0.75 (0.25 to 1.25) |",
    ]
    assert lines[6:] == ["Made on M, 2026-11-27:", "", "    mixbench bench one", "    mixbench bench two"]


def test_the_readme_holds_scores_in_int8_against_those_of_the_same_model_in_float32(tmp_path: Path) -> None:
    whole = {"kind": "dense", "dtype": "float32"}
    for model, recipe, value in (
        ("m", whole, 0.5),
        ("m", whole | {"max_length": 8}, 0.1),
        ("m", whole | {"weights": "linear layers in int8"}, 0.375),
        ("other", whole | {"weights": "int4"}, 0.2),
    ):
        make_result(tmp_path, "domain/sea", model, numbered([value] * 4), recipe=recipe)
    lines = readme.int8_scores(tmp_path).splitlines()
    assert [line.split(" | ")[1:] for line in lines[2:]] == [["sea", ".500", ".375", "−.125 |"]]


def test_thirty_models_on_fifteen_tasks_render_in_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = make_result(tmp_path, "toy/t0", "m0", numbered(rng.random(100)))
    assert first.n_queries == 100
    for model in range(30):
        for task in range(15):
            scores = np.clip(0.01 * model + rng.random(100), 0, 1)
            make_result(tmp_path, f"toy/t{task}", f"m{model}", numbered(scores))

    start = time.perf_counter()
    page = render_board(tmp_path / "toy", [])

    assert time.perf_counter() - start < 20
    assert len(cells(page, "Main scores")) == 30
