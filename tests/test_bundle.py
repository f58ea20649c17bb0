"""Bundling: one file out of a module and what it imports from the package."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mixbench
from mixbench.models import mixer
from mixbench.models.bundle import bundle

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Add a module to the package mixbench, from a folder of this test, and return its name."""
    monkeypatch.setattr(mixbench, "__path__", [*mixbench.__path__, str(tmp_path)])

    def add(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return f"mixbench.{name}"

    return add


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "alone"}
    exec(compile(text, "alone.py", "exec"), names)
    return names


def test_the_bundled_mixer_imports_nothing_of_mixbench_and_has_every_line_of_the_mixer() -> None:
    text = bundle("mixbench.models.mixer")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {
        name.split(".")[0]
        for node in imports
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert {"torch", "sentence_transformers", "safetensors", "transformers", "tokenizers"} < roots
    assert "mixbench" not in roots
    source = Path(mixer.__file__).read_text()
    own_code = source[source.index("CONFIG_FILE, ") :]
    assert text.endswith(own_code)
    assert text.startswith(source[: source.index("import copy")])


def test_what_a_definition_needs_is_copied_before_it_and_what_it_does_not_need_is_left(write: Write) -> None:
    write("deep", "import math\n\nSIDE, UNUSED = 3, 4\n\n\ndef area():\n    return math.prod([SIDE, SIDE])\n")
    write(
        "middle",
        "import json\nfrom functools import cache\nfrom mixbench.deep import area\n\n\n"
        "def unused():\n    return json\n\n\n# Twice the area.\n@cache\n"
        "def double():\n    return 2 * area()\n",
    )
    name = write("top", '"""Top."""\n\nfrom mixbench.middle import double\n\nANSWER = double()\n')
    text = bundle(name)
    assert run(text)["ANSWER"] == 18
    assert text == (
        '"""Top."""\n\nimport math\nfrom functools import cache\n\n\n'
        "# From mixbench.deep\nSIDE, UNUSED = 3, 4\n\n\n"
        "# From mixbench.deep\ndef area():\n    return math.prod([SIDE, SIDE])\n\n\n"
        "# From mixbench.middle\n# Twice the area.\n@cache\ndef double():\n    return 2 * area()\n\n\n"
        "ANSWER = double()\n"
    )


def test_one_name_for_two_things_is_refused(write: Write) -> None:
    write("deep", "SIZE = 3\n\n\ndef three():\n    return SIZE\n")
    name = write("top", '"""Top."""\n\nfrom mixbench.deep import three\n\nSIZE = 4\nSUM = three() + SIZE\n')
    with pytest.raises(ValueError, match=r"'SIZE' is defined in mixbench\.top and in mixbench\.deep"):
        bundle(name)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import mixbench.errors\n\nprint(mixbench.errors)", "import names from the module"),
        ("from .errors import InputError\n\nprint(InputError)", "give the whole name of the module"),
        ("from mixbench.errors import InputError as E\n\nprint(E)", "'InputError' cannot be bundled as 'E'"),
        ("from mixbench.errors import Nothing\n\nprint(Nothing)", "mixbench.errors: defines no 'Nothing'"),
        ("from mixbench.nowhere import x\n\nprint(x)", "mixbench.nowhere: no such module"),
        ("def f():\n    from mixbench import errors\n    return errors", "is not at the top of its module"),
        ("def f():\n    from . import errors\n    return errors", "is not at the top of its module"),
    ],
)
def test_an_import_that_cannot_be_copied_in_is_refused(write: Write, code: str, message: str) -> None:
    name = write("top", f'"""Top."""\n\n{code}\n')
    with pytest.raises(ValueError, match=message):
        bundle(name)
