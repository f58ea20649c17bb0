"""`mixbench relate`: rank correlations of what other verbs have measured of several models."""

import json
import math
from pathlib import Path

import pytest
from command import Run, refused

from mixbench.experiments.relating import rank_correlation
from mixbench.experiments.relation_plot import relation_svg

MODELS = {"a": (0.1, 5.0, 0.2), "b": (0.2, 4.0, 0.3), "c": (0.7, 3.0, 0.4), "d": (0.9, 2.0, 0.9)}
"""Accuracy, loss and nDCG@10."""
ARGUMENTS = ("--probe", "all.json", "--records", "lm", "--pools", "pools")


@pytest.fixture
def measured(run: Run) -> None:
    """What other verbs leave, in the folder of the command."""
    rows = [{"model": name, "top1": {"mean": accuracy}} for name, (accuracy, _, _) in MODELS.items()]
    Path("all.json").write_text(json.dumps(rows))
    Path("pools").mkdir()
    for name, (_, loss, ndcg) in MODELS.items():
        Path("lm", name).mkdir(parents=True)
        Path("lm", name, "mixbench.json").write_text(json.dumps({"held_out_losses": [loss - 1, loss + 1]}))
        Path("pools", f"{name}.json").write_text(
            json.dumps({"all_documents": {"ndcg_at_10": {"mean": ndcg}}})
        )


@pytest.mark.usefixtures("measured")
def test_figures_of_all_files_are_put_together_and_correlated(run: Run) -> None:
    ended = run("relate", *MODELS, *ARGUMENTS, "-o", "relation.json", "--plot", "relation.svg")
    assert ended.status == 0
    report = json.loads(Path("relation.json").read_text())
    assert report["models"][1] == {"model": "b", "all": 0.2, "loss": 4.0, "ndcg_at_10": 0.3}
    rho = {(each["a"], each["b"]): each["rho"] for each in report["correlations"]}
    assert rho["all", "ndcg_at_10"]["mean"] == 1
    assert rho["all", "loss"]["mean"] == rho["loss", "ndcg_at_10"]["mean"] == -1
    assert "all and ndcg_at_10: rho 1.000 (1.000 to 1.000)" in " ".join(ended.out.split())
    assert Path("relation.svg").read_text().count("<circle") == len(MODELS)


@pytest.mark.usefixtures("measured")
def test_too_few_models_and_files_that_lack_one_are_one_line(run: Run) -> None:
    refused(run("relate", "a", "b", "c", *ARGUMENTS), "3 different models of 3; give at least 4")
    refused(run("relate", "a", "b", "c", "d", "d", *ARGUMENTS), "4 different models of 5")
    Path("pools/d.json").unlink()
    refused(run("relate", *MODELS, *ARGUMENTS), "d.json: no evidence can be read")
    Path("all.json").write_text("[]")
    refused(run("relate", *MODELS, *ARGUMENTS), "all.json: nothing is at '[model=a]'")


def test_a_rank_correlation_is_spearmans_with_ties_at_their_mean_rank() -> None:
    found = rank_correlation([1, 2, 2, 4], [10, 30, 20, 40])
    assert found is not None
    assert found.mean == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert found.low <= found.mean <= found.high
    again = rank_correlation([1, 2, 2, 4], [10, 30, 20, 40])
    assert again == found


def test_figures_that_are_all_the_same_have_no_correlation() -> None:
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None


def test_a_chart_stays_inside_also_where_all_points_are_one() -> None:
    rows = [{"model": f"m<{number}>", "x": 0.5, "y": 0.5} for number in range(3)]
    chart = relation_svg(rows, ["x"], "y")
    assert "m&lt;1&gt;" in chart
    assert "nan" not in chart
