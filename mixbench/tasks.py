"""Tasks: a task is one TOML file, a benchmark is a folder of them.

`tasks/beir/scifact.toml` is the task "beir/scifact" of the benchmark "beir". Its name is its path, and
nothing in it is executed. Task files are looked for in three places, and the first that has any is the
whole set, so that two files can never lay claim to one name:

    1. the folder given (`--tasks-dir`); naming one that holds no task file is an error
    2. ./tasks, of a checkout or of a user's own project
    3. the package itself
"""

import difflib
import fnmatch
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mixbench.errors import InputError, UnknownName
from mixbench.files import parse_toml

SOURCES = ("mteb", "irds")
"""What a name may begin with, as "mteb:NAME": a task without a file, described by another tool."""
PACKAGE = Path(__file__).parent

Text = Annotated[str, Field(min_length=1)]


class Task(BaseModel):
    """A corpus, queries, judgments and a metric: where they come from and how they are scored.

    Every field but `name`, which is the path, is a key of the TOML file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    """Benchmark and short name: "beir/scifact"."""
    description: Text
    mteb: Text | None = None
    """Name of the same task in mteb, which has the same documents and judgments."""
    folder: Text | None = None
    """BEIR folder looked for in the data directories."""
    embedded: Text | None = None
    """Data file that the package carries."""
    ir_datasets: Text | None = None
    """Identifier in ir_datasets of the evaluation split: the source where mteb has no such task."""
    url: Text | None = None
    """BEIR zip that `mixbench data get` downloads; without one it asks mteb."""
    origin: Text | None = None
    """Where its raw data is published, for a task that no tool has."""
    builder: Text | None = None
    """Which of `data/builders.py` makes it from the `raw` files."""
    raw: dict[str, Text] = {}
    """File name, as the builder wants it, to the address that `mixbench data get` downloads it from."""
    reproducible: bool = True
    """Whether others can make the same data; where false, boards say "not reproducible outside"."""
    eval_split: Text
    dev_split: Text | None = None
    train_split: Text | None = None
    hub_split: Text | None = None
    """Name of `eval_split` in mteb, where it is another."""
    parts: dict[str, Text] = {}
    """Part to name in mteb: `folder`/part is its BEIR folder, and the task's score the mean over parts."""
    main_metric: Text = "ndcg_at_10"
    licence: Text
    redistribute: bool
    """Whether the texts may be shown in a committed page."""
    remove_identical: bool = False
    """Whether a document with the query's own id is removed from its ranking, as mteb does for this task."""
    known_item: bool = False
    """Whether each query was made from the one document that it looks for (or nearly so)."""
    in_domain: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Training sources (pair files, mteb's names, tasks) that make a model in-domain here, besides the task's
    own names."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the normalised data, recorded by `mixbench data check --record` from data really read."""
    reference: dict[str, float] = {}
    """Published main scores by system: a check on the harness, never shown as ours."""

    @model_validator(mode="after")
    def _check_sources(self) -> "Task":
        if not (self.folder or self.embedded or self.mteb or self.ir_datasets):
            raise ValueError("no source of data: give at least one of mteb, ir_datasets, folder and embedded")
        if self.parts and not self.folder:
            raise ValueError("parts need a folder, in which each part has its own")
        if bool(self.builder) != bool(self.raw):
            raise ValueError("a builder needs its raw files, and raw files their builder")
        return self

    @property
    def benchmark(self) -> str:
        """The folder's name: "beir"."""
        return self.name.split("/")[0]

    @property
    def short_name(self) -> str:
        """The file's name: "scifact"."""
        return self.name.split("/")[1]

    @property
    def selector(self) -> str:
        """What `-t` selects it by: its name, or "mteb:NAME" or "irds:ID" for one that has no file."""
        if self.benchmark == "mteb" and self.mteb == self.short_name:
            return f"mteb:{self.mteb}"
        if self.benchmark == "irds" and self.ir_datasets:
            return f"irds:{self.ir_datasets}"
        return self.name


def find_tasks(tasks_dir: Path | None = None) -> dict[str, Task]:
    """Return every task by name, sorted by name.

    Raises InputError for a task file that cannot be used, and for a `tasks_dir` that has none.
    """
    return {name: read_task(path, name) for name, path in _task_files(tasks_dir).items()}


def load_task(name: str, tasks_dir: Path | None = None) -> Task:
    """Return the task called `name`, in full ("beir/scifact") or in short where only one task has that name.

    Raises UnknownName, or InputError where the short name is that of several tasks.
    """
    files = _task_files(tasks_dir)
    full_name = _named(name, files)
    return read_task(files[full_name], full_name)


def select_tasks(
    names: Iterable[str],
    tasks_dir: Path | None = None,
    *,
    describe: Mapping[str, Callable[[str], Task]] = MappingProxyType({}),
) -> list[Task]:
    """Return the tasks that `names` stand for, each once, in the order in which they were first named.

    A name is a task ("beir/scifact", or "scifact" where that is unique); a benchmark ("beir") or a shell
    pattern over full names ("*/sci*"; a star crosses the slash), for all its tasks, sorted by name; or
    "mteb:NAME" or "irds:ID", of which `describe` has the function that turns it into a task. Raises
    UnknownName and InputError as `load_task`.
    """
    files = _task_files(tasks_dir)
    chosen: dict[str, Task] = {}
    for name in names:
        source, colon, rest = name.partition(":")
        if colon and source in SOURCES:
            if source not in describe:
                raise InputError(f"{name!r}: only tasks with a file can be used here")
            task = describe[source](rest)
            chosen.setdefault(task.name, task)
            continue
        for full_name in _expand(name, files):
            if full_name not in chosen:
                chosen[full_name] = read_task(files[full_name], full_name)
    return list(chosen.values())


def read_task(path: Path, name: str) -> Task:
    """Return the task called `name` from one file. Raises InputError naming the file and the line."""
    try:
        text = path.read_bytes().decode()
        fields = parse_toml(text)
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, f"not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError.at(path, _error_line(str(error), text), f"not TOML: {error}") from error
    except ValueError as error:
        raise InputError.at(path, None, f"TOML that cannot be used: {error}") from error
    if "name" in fields:
        raise InputError.at(path, _key_line("name", text), "unknown key 'name'; a task is named by its path")
    try:
        return Task.model_validate({**fields, "name": name})
    except ValidationError as error:
        key, problem = _first_problem(error)
        raise InputError.at(path, _key_line(key, text), problem) from error


def tasks_folder(tasks_dir: Path | None = None) -> Path:
    """Return the folder whose task files are used (see the head of this module for the order).

    Raises InputError where `tasks_dir` holds no benchmark/task.toml.
    """
    if tasks_dir is not None:
        if not _has_tasks(tasks_dir):
            raise InputError.at(tasks_dir, None, "no task file (BENCHMARK/TASK.toml) in this folder")
        return tasks_dir
    places = [Path("tasks"), PACKAGE / "_tasks", PACKAGE.parent / "tasks"]
    for place in places:
        if _has_tasks(place):
            return place
    raise InputError("no task files: neither ./tasks nor the package has any; give a folder with --tasks-dir")


def _has_tasks(folder: Path) -> bool:
    return next(folder.glob("*/*.toml"), None) is not None


def _task_files(tasks_dir: Path | None) -> dict[str, Path]:
    paths = tasks_folder(tasks_dir).glob("*/*.toml")
    return dict(sorted((f"{path.parent.name}/{path.stem}", path) for path in paths))


def _expand(name: str, full_names: Iterable[str]) -> list[str]:
    if any(character in name for character in "*?["):
        matches = [full_name for full_name in full_names if fnmatch.fnmatchcase(full_name, name)]
    else:
        matches = [full_name for full_name in full_names if full_name.split("/")[0] == name]
    return matches or [_named(name, full_names)]


def _named(name: str, full_names: Iterable[str]) -> str:
    known = list(full_names)
    matches = [name] if name in known else [each for each in known if each.split("/")[1] == name]
    if len(matches) > 1:
        raise InputError(f"{name!r} is the name of several tasks; say which: {', '.join(matches)}")
    if not matches:
        benchmarks = {each.split("/")[0] for each in known}
        words = benchmarks.union(known, (each.split("/")[1] for each in known))
        near = difflib.get_close_matches(name, words, cutoff=0.5)
        raise UnknownName.of("task or benchmark", name, words if near else benchmarks)
    return matches[0]


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the key whose line is to blame ("" for none) and what is wrong with it."""
    first = error.errors()[0]
    steps = [step for step in first["loc"] if isinstance(step, str)]
    key = steps[-1] if steps else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Task.model_fields, n=1)
        return key, f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else "remove it")
    if first["type"] == "missing":
        return "", f"the key {key!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    return key, f"{key} = {first['input']!r}: {message}" if key else message


def _key_line(key: str, text: str) -> int | None:
    """Return the 1-based line that sets `key`, quoted or not, if there is one."""
    setting = re.compile(rf"\s*([\"']?){re.escape(key)}\1\s*=")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if key and setting.match(line)), None)


def _error_line(message: str, text: str) -> int:
    found = re.search(r"at line (\d+)", message)
    return int(found[1]) if found else max(1, len(text.splitlines()))
