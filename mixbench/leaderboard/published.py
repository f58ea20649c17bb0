"""Published scores beside ours: a check on the harness, never shown as ours."""

from mixbench.leaderboard.analysis import Analysis
from mixbench.leaderboard.tables import NOTHING, row_name, score, short, table


def published(analysis: Analysis) -> list[str]:
    """Return the section on scores that others published on the board's tasks; nothing where there are none.

    A row is a published system's where the last parts of both names are the same: "org/name" is "name". Those
    stand beside ours with the difference, all in a table of their own.
    """
    board = analysis.board
    systems = {key for name in board.task_names if name in board.tasks for key in board.tasks[name].reference}
    if not systems:
        return []
    lines = [
        "## Published scores",
        "",
        "What others published, none of it ours. A check on the harness: settings and copies of the data can",
        "differ from ours.",
    ]
    beside = _beside_ours(analysis)
    if beside:
        header = ["Task", "Model", "Published", "Ours", "Difference"]
        lines += ["", *table(header, beside, left=2)]
    body = []
    for system in sorted(systems, key=str.casefold):
        found = [board.tasks[name].reference.get(system) for name in board.task_names if name in board.tasks]
        body.append([f"`{system}`", *(NOTHING if each is None else score(each) for each in found)])
    names = [short(name) for name in board.task_names if name in board.tasks]
    return [*lines, "", *table(["Published system", *names], body)]


def _beside_ours(analysis: Analysis) -> list[list[str]]:
    board, body = analysis.board, []
    for name in board.task_names:
        task = board.tasks.get(name)
        scores = {_last(key): value for key, value in task.reference.items()} if task else {}
        for row in board.rows:
            reference = scores.get(_last(row.model))
            if reference is not None and name in row.results:
                ours = row.results[name].scores.of(analysis.metrics[name])
                numbers = [f"{reference:.4f}", f"{ours:.4f}", f"{ours - reference:+.4f}".replace("-", "−")]
                body.append([short(name), row_name(row), *numbers])
    return body


def _last(name: str) -> str:
    return name.split("/")[-1].casefold()
