"""The embedded task: from a docstring's first sentence to its function, in CPython 3.11's standard library.

    python -m mixbench.data.stdlib_code mixbench/data/embedded

writes three files: the data (`stdlib-code.jsonl.xz`), the licence of its source (`LICENSE-PSF.txt`) and what
was changed (`CHANGES.md`). The source is the library of the interpreter that runs this, so one version of
CPython always gives the same lines; the compressed bytes may also depend on the version of liblzma.

A function is in if its docstring opens with a sentence of English prose, and something is left of it without
the docstring. It keeps its own name: a name is part of the source that a search should find.
"""

import ast
import hashlib
import inspect
import json
import lzma
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mixbench.errors import InputError, MixbenchError
from mixbench.files import write_atomic

MAX_CHARACTERS = 1500
"""Longer sources are cut at the end of a line."""
TRAIN_SHARE = 0.65

LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "pydoc_data", "site-packages", "_bundled"}
LEFT_OUT_START = ("_py", "_sysconfigdata", "config-")
"""`_pyio` and its like are second copies of modules written in C; the others depend on the machine."""
NOTICE = re.compile(r"(?i:copyright)\s+(\([cC]\)|\d{4}|[A-Z])|\([cC]\)\s+\d{4}|SPDX-FileCopyrightText")
"""A copyright notice of its own: the module, or the package where it stands in `__init__.py`, is left out."""

SENTENCE = re.compile(r"(.*?(?<!e\.g)(?<!i\.e)(?<!etc)[.!?])(?=\s+[A-Z\"'(`]|$)")
WORD = re.compile(r"[\"'(`]*[A-Za-z][a-z]*(?:['-][a-z]+)*[\"')`,.;:!?]*")
POINTER = re.compile(
    r"(See|Like|Same as|Inherited|Alias|Override|Overridden|Helper for|Concrete implementation)\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Example(NamedTuple):
    """One function: `doc_id` is "module:qualified.name"."""

    doc_id: str
    query: str
    source: str

    @property
    def split(self) -> str:
        """The query's split: that of its top-level module, so that no module is on both sides."""
        module = re.split(r"[.:]", self.doc_id)[0]
        share = int.from_bytes(hashlib.sha256(module.encode()).digest()[:4]) / 2**32
        return "train" if share < TRAIN_SHARE else "test"


def library_modules(root: Path) -> dict[str, str]:
    """Return module name -> text for each module of the library that may be used, sorted by name."""
    paths = {path: path.relative_to(root) for path in root.rglob("*.py")}
    texts = {
        relative: path.read_text("utf-8", errors="replace")
        for path, relative in paths.items()
        if not LEFT_OUT & set(relative.parts) and not relative.parts[0].startswith(LEFT_OUT_START)
    }
    noticed = {path for path, text in texts.items() if NOTICE.search(text)}
    packages = {path.parent for path in noticed if path.name == "__init__.py"}
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): text
        for path, text in sorted(texts.items())
        if path not in noticed and not packages & set(path.parents)
    }


def first_sentence(docstring: str) -> str | None:
    """Return the first sentence of a docstring, or None where it is no usable query."""
    paragraph = " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())
    found = SENTENCE.match(paragraph)
    sentence = found[1] if found else paragraph
    words = sentence.split()
    usable = (
        20 <= len(sentence) <= 200
        and len(words) >= 4
        and sentence.isascii()
        and sentence[0].isupper()
        and sum(bool(WORD.fullmatch(word)) for word in words) >= 0.75 * len(words)
        and not POINTER.match(sentence)
    )
    return sentence if usable else None


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function of a module with its qualified name, methods and inner functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, DOCUMENTED):
            if isinstance(node, Function):
                yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):
            yield from functions(node, prefix)


def remove_docstrings(tree: ast.AST) -> None:
    """Take the docstrings of all classes and functions out of `tree`; what is left empty passes."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]


def source_of(function: Function) -> str | None:
    """Return the source of a function, cut where it is long, or None where it does nothing."""
    if all(isinstance(statement, ast.Pass) for statement in function.body):
        return None
    source = ast.unparse(function)
    if len(source) <= MAX_CHARACTERS:
        return source
    return source[: MAX_CHARACTERS + 1].rpartition("\n")[0] or source[:MAX_CHARACTERS]


def examples(modules: dict[str, str]) -> list[Example]:
    """Return the functions of `modules`, without those whose name, query or body came before."""
    found: list[Example] = []
    seen: set[str] = set()
    for module, text in modules.items():
        tree = ast.parse(text)
        documented = [(name, each, ast.get_docstring(each) or "") for name, each in functions(tree)]
        remove_docstrings(tree)
        for name, function, docstring in documented:
            query = first_sentence(docstring)
            source = query and source_of(function)
            if not query or not source:
                continue
            doc_id = f"{module}:{name}"
            keys = {doc_id, f"query {query.lower()}", f"body {source.partition('(')[2]}"}
            if not keys & seen:
                found.append(Example(doc_id, query, source))
            seen |= keys
    return found


def build(output: Path) -> dict[str, int | str]:
    """Write the three files into the folder `output`; return what the data says of itself.

    Raises MixbenchError unless CPython 3.11 is running.
    """
    if platform.python_implementation() != "CPython" or sys.version_info[:2] != (3, 11):
        running = f"{platform.python_implementation()} {platform.python_version()}"
        raise MixbenchError(f"stdlib-code is built from the library of CPython 3.11; this is {running}")
    root = Path(sysconfig.get_path("stdlib"))
    licence = root / "LICENSE.txt"
    if not licence.is_file():
        raise InputError.at(licence, None, "the licence of the library is not there; use a build from source")
    modules = library_modules(root)
    found = examples(modules)
    about: dict[str, int | str] = {
        "kind": "about",
        "python": platform.python_version(),
        "modules_sha256": modules_sha256(modules),
        "licence": "PSF-2.0",
        "documents": len(found),
        "train": sum(example.split == "train" for example in found),
        "test": sum(example.split == "test" for example in found),
    }
    lines = [about, *(record for example in found for record in _records(example))]
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    write_atomic(
        output / "stdlib-code.jsonl.xz", lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    )
    write_atomic(output / "LICENSE-PSF.txt", licence.read_bytes())
    write_atomic(output / "CHANGES.md", CHANGES.format(**about, limit=MAX_CHARACTERS))
    return about


def modules_sha256(modules: dict[str, str]) -> str:
    """Return one SHA-256 over the texts of the modules: a patched library is told apart by it."""
    digest = hashlib.sha256()
    for name, text in modules.items():
        digest.update(f"{name}\0{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _records(example: Example) -> Iterator[dict[str, int | str]]:
    doc_id, query_id, split = example.doc_id, f"q-{example.doc_id}", example.split
    yield {"kind": "document", "doc_id": doc_id, "title": "", "text": example.source}
    yield {"kind": "query", "query_id": query_id, "text": example.query, "split": split}
    yield {"kind": "judgment", "query_id": query_id, "doc_id": doc_id, "relevance": 1, "split": split}


CHANGES = """\
# What was changed

`stdlib-code.jsonl.xz` is derived from the standard library of CPython {python}, copyright of the Python
Software Foundation, under the licence in `LICENSE-PSF.txt`. Summary of the changes made to it:

- Only functions and methods whose docstring opens with a sentence of English prose were taken:
  {documents} of them.
- Each was parsed and written out again, which drops comments and layout.
- Docstrings were taken out. The first sentence of the function's own became a query; the rest was dropped.
- Sources longer than {limit} characters were cut at the end of a line.
- Of functions with the same name, the same query or the same body, the first was kept.
- Left out: tests, idlelib, lib2to3, turtledemo, pydoc_data, bundled wheels, second copies of modules written
  in C, and every module that carries a copyright notice of its own, or belongs to a package that does.
- Queries were divided by top-level module into {train} for training and {test} for testing.

It was made by `python -m mixbench.data.stdlib_code`; two runs with the same CPython give the same lines.
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mixbench.data.stdlib_code OUTPUT_DIR")
    try:
        sys.stderr.write(f"{build(Path(sys.argv[1]))}\n")
    except MixbenchError as error:
        sys.exit(str(error))
