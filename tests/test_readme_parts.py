"""Parts of README that are made from results."""

import shutil
from pathlib import Path

import pytest

from mixbench.errors import MissingData
from mixbench.experiments.readme import int8_scores
from mixbench.experiments.tuned_table import HELD_OUT, tuned_table
from mixbench.results import read_result

LEADERBOARDS = Path(__file__).parents[1] / "leaderboards"


def test_a_score_in_int8_stands_beside_the_same_models_in_float32() -> None:
    head, rule, *rows = int8_scores(LEADERBOARDS).splitlines()
    assert head.count("|") == rule.count("|") == 6
    assert rows
    assert all(row.startswith("| `") for row in rows)


def test_a_score_in_int8_alone_is_an_error(tmp_path: Path) -> None:
    in_int8 = next(
        path for path in sorted(LEADERBOARDS.glob("domain/*/*/*.json")) if "int8" in path.read_text()
    )
    there = tmp_path / in_int8.relative_to(LEADERBOARDS)
    there.parent.mkdir(parents=True)
    shutil.copy(in_int8, there)
    with pytest.raises(MissingData, match="and none in float32; eval it as well"):
        int8_scores(tmp_path)


def test_the_tuned_stand_with_the_scores_of_their_files_beside_what_the_mixer_is_compared_with() -> None:
    board = LEADERBOARDS / "domain"
    _, _, *rows, _, verdict = tuned_table(board)
    for (source, task), row in zip(HELD_OUT.items(), rows, strict=True):
        cells = [cell.strip() for cell in row.split("|")[2:-1]]
        models = ("bm25", "all-MiniLM-L6-v2", f"twin-on-{source}", f"mixer-on-{source}")
        scores = []
        for model, cell in zip(models, cells[:4], strict=True):
            (path,) = board.glob(f"{model}/*/{task.split('/')[1]}.json")
            scores.append(read_result(path).main_score)
            assert cell.startswith(f"{scores[-1]:.3f}".removeprefix("0"))
        for other, cell in zip(scores[:3], cells[4:], strict=True):
            assert cell[0] == ("+" if scores[-1] > other else "−")
    assert verdict.startswith("The mixer is above BM25 on ")


def test_a_retriever_without_a_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"0 results of bm25 on domain/squad-dev; there has to be one"):
        tuned_table(tmp_path)
