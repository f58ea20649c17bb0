"""The documents: generated parts are current, links lead somewhere, commands exist, examples run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from mixbench.cli import app

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
CARDS = [str(path.relative_to(ROOT)) for path in ROOT.glob("mixbench/models/shipped/*/README.md")]
BOARDS = [str(path.relative_to(ROOT)) for path in ROOT.glob("leaderboards/*/README.md")]
MACHINE_PATH = re.compile(r"(?<![\w.~/:$<>*}-])/(?:[\w.-]+/)+[\w.-]+")
PLACEHOLDERS = {"BENCHMARK", "TASK", "MODEL", "DATA", "FOLDER"}
UsageError = typer.BadParameter.__mro__[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands(page: str, program: str) -> list[str]:
    """Return the lines of a page's shell blocks, and of its indented ones, that call `program`."""
    text = (ROOT / page).read_text()
    lines = "\n".join([*blocks(page, "sh"), *re.findall(r"^ {4}(?! )(?:.*\\\n)*.*", text, re.MULTILINE)])
    joined = re.sub(r"\\\n\s*", "", lines)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith(f"{program} ")]


def inline_commands(page: str) -> list[str]:
    """Return the verbs and options that a page names in running text, as `mixbench leaderboard X --check`."""
    return re.findall(r"`(mixbench [^`]+)`", (ROOT / page).read_text())


def parse(line: str) -> None:
    """Parse a command line without running it; raises UsageError where a verb or an option does not exist."""
    name, *words = shlex.split(line.partition(" > ")[0])
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        name, command = f"{name} {words[0]}", command.commands[words[0]]
        words = words[1:]
    if words == ["--help"]:
        return
    if hasattr(command, "commands"):
        raise UsageError(f"no such verb: {line}")
    command.make_context(name, words)


def test_the_generated_parts_of_the_readme_are_current() -> None:
    check = [sys.executable, "-m", "cogapp", "--check", "README.md"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


def test_the_readme_opens_with_two_commands_that_make_has() -> None:
    first, *_ = blocks("README.md", "sh")
    assert first.split("\n") == ["make quickstart", "make test", ""]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_in_the_documents_exists(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in commands(page, "make")}
    named |= set(re.findall(r"`make ([\w-]+)`", (ROOT / page).read_text()))
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", [*PAGES, *CARDS])
def test_every_relative_link_leads_to_a_file(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", (ROOT / page).read_text())
    relative = [target for target in targets if "://" not in target]
    assert [target for target in relative if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize(
    "line", [*commands("README.md", "mixbench"), *commands("CONTRIBUTING.md", "mixbench")]
)
def test_every_command_in_the_documents_parses(line: str) -> None:
    parse(line)


def test_the_command_for_several_gpus_is_one_that_parses() -> None:
    (line,) = commands("README.md", "torchrun")
    launcher, command = line.split(" -m mixbench ")
    assert launcher == "torchrun --nproc-per-node 2"
    parse(f"mixbench {command}")


@pytest.mark.parametrize("line", inline_commands("README.md") + inline_commands("CONTRIBUTING.md"))
def test_every_command_named_in_running_text_exists(line: str) -> None:
    name, *words = shlex.split(line)
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert all(word in options or word in PLACEHOLDERS for word in words), f"{name}: {words}"


@pytest.mark.parametrize(
    "line", ["mixbench evaluate -t beir", "mixbench eval --task beir", "mixbench data fetch scifact"]
)
def test_a_command_that_does_not_exist_is_found_out(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line)


@pytest.mark.parametrize("page", [*PAGES, *CARDS, *BOARDS])
def test_no_document_names_a_path_of_some_machine(page: str) -> None:
    assert MACHINE_PATH.findall((ROOT / page).read_text()) == []


def test_a_machine_path_is_found_out_and_an_address_is_not() -> None:
    text = "see https://arxiv.org/abs/1 and ~/.cache/mixbench/data and a/b/c, or `/srv/some/folder`"
    assert MACHINE_PATH.findall(text) == ["/srv/some/folder"]


@pytest.mark.parametrize("number", range(len(blocks("README.md", "python"))))
def test_the_examples_in_python_run(number: int, tmp_path: Path) -> None:
    code = blocks("README.md", "python")[number]
    if "get_tasks" in code:  # needs the hub: everything up to the evaluation itself runs
        code = code.replace("mteb.evaluate(", "assert callable(mteb.evaluate); print(").replace(
            ", cache=None", ""
        )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
