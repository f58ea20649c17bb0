"""Published scores beside ours: a check on the harness, never shown as ours."""

from mixbench.leaderboard.analysis import Analysis
from mixbench.leaderboard.tables import row_name, short, table


def published(analysis: Analysis) -> list[str]:
    """Return the section on scores that others published of the board's models; nothing where there are none.

    A row is a published system's where the last parts of both names are the same: "org/name" is "name".
    """
    board, body = analysis.board, []
    for name in board.task_names:
        task = board.tasks.get(name)
        scores = {_last(key): value for key, value in task.reference.items()} if task else {}
        for row in board.rows:
            reference = scores.get(_last(row.model))
            if reference is not None and name in row.results:
                ours = row.results[name].scores.of(analysis.metrics[name])
                numbers = [f"{reference:.4f}", f"{ours:.4f}", f"{ours - reference:+.4f}"]
                body.append([short(name), row_name(row), *numbers])
    if not body:
        return []
    said = "A check on the harness: settings and copies of the data can differ from ours."
    header = ["Task", "Model", "Published", "Ours", "Difference"]
    return ["## Published scores", "", said, "", *table(header, body, left=2)]


def _last(name: str) -> str:
    return name.split("/")[-1].casefold()
