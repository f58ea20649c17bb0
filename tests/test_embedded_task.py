"""quickstart/stdlib-code: the data that the package carries, and the script that builds it."""

import lzma
import platform
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from mixbench.data import load_data
from mixbench.data.frozen import read_about
from mixbench.data.stdlib_code import (
    MAX_CHARACTERS,
    Example,
    build,
    examples,
    first_sentence,
    library_modules,
)
from mixbench.errors import MixbenchError
from mixbench.tasks import load_task

EMBEDDED = Path(str(files("mixbench"))) / "data" / "embedded"

TOY = '''
class Shape:
    def area(self):
        """Return the area of the shape. It is never negative."""
        # a comment
        return self.width * self.height

    def twin(self):
        """Return the area of another shape."""
        return self.width * self.height

    def again(self):
        """Return the area of the shape."""
        return 1

    def empty(self):
        """Do nothing at all with this shape."""

def outer():
    """Return a function that counts upwards."""
    def inner():
        """Return the next of the numbers."""
        return 1
    return inner
'''


def test_the_corpus_has_three_to_four_and_a_half_thousand_functions() -> None:
    test, train = (
        load_data(load_task("quickstart/stdlib-code"), split=each)[0] for each in ("test", "train")
    )
    assert (len(test.corpus), len(test.queries), len(train.queries)) == (3063, 910, 2153)
    assert test.corpus == train.corpus
    assert len(test.queries) + len(train.queries) == len(test.corpus)


def test_each_query_has_one_relevant_function_and_no_module_is_on_both_sides() -> None:
    sides = []
    for split in ("test", "train"):
        data = load_data(load_task("quickstart/stdlib-code"), split=split)[0]
        relevant = [list(judged.items()) for judged in data.qrels.values()]
        assert all(len(each) == 1 and each[0][1] == 1 for each in relevant)
        sides.append({each[0][0].split(":")[0].split(".")[0] for each in relevant})
    assert not sides[0] & sides[1]


def test_no_query_is_asked_twice_and_none_stands_in_its_function() -> None:
    found = [
        (text, query_id.removeprefix("q-"))
        for split in ("test", "train")
        for data in load_data(load_task("quickstart/stdlib-code"), split=split)
        for query_id, text in data.queries.items()
    ]
    assert len({text.lower() for text, _ in found}) == len(found)
    corpus = {doc.doc_id: doc for doc in load_data(load_task("quickstart/stdlib-code"))[0].corpus}
    assert not [doc_id for text, doc_id in found if text in corpus[doc_id].text]
    assert all(not doc.title and 0 < len(doc.text) <= MAX_CHARACTERS for doc in corpus.values())


def test_modules_with_a_notice_of_their_own_are_left_out() -> None:
    corpus = load_data(load_task("quickstart/stdlib-code"))[0].corpus
    modules = {doc.doc_id.split(":")[0].split(".")[0] for doc in corpus}
    assert {"asyncio", "pathlib", "threading"} <= modules
    assert not {"email", "logging", "multiprocessing", "optparse", "subprocess", "test", "turtle"} & modules


def test_the_package_of_a_notice_is_left_out_whole(tmp_path: Path) -> None:
    notice = "# Copyright 2001 Somebody\n"
    library = {
        "a.py": "",
        "b.py": notice,
        "c/__init__.py": notice,
        "c/d.py": "",
        "test/e.py": "",
        "f/g.py": "",
    }
    for name, text in library.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(library_modules(tmp_path)) == ["a", "f.g"]


def test_a_function_becomes_its_first_sentence_and_its_source_without_docstrings_and_comments() -> None:
    assert examples({"toy": TOY}) == [
        Example(
            "toy:Shape.area",
            "Return the area of the shape.",
            "def area(self):\n    return self.width * self.height",
        ),
        Example(
            "toy:outer",
            "Return a function that counts upwards.",
            "def outer():\n\n    def inner():\n        return 1\n    return inner",
        ),
        Example("toy:outer.inner", "Return the next of the numbers.", "def inner():\n    return 1"),
    ]


@pytest.mark.parametrize(
    ("docstring", "query"),
    [
        ("Return the sum of all\n    numbers. More follows.", "Return the sum of all numbers."),
        (
            "Split a path, e.g. `name`,\n    in two.\n\n    Returns a pair.",
            "Split a path, e.g. `name`, in two.",
        ),
        ("Return the mean of the values", "Return the mean of the values"),
        ("See the base class for more.", None),
        ("lower-case words are no sentence", None),
        ("Call f(x, y=None, *args) -> list[int], (a_1, b_2)", None),
        ("Too short.", None),
        ("Unquestionably incomprehensible.", None),
        ("", None),
    ],
)
def test_only_a_sentence_of_english_prose_is_a_query(docstring: str, query: str | None) -> None:
    assert first_sentence(docstring) == query


def test_a_long_source_is_cut_at_the_end_of_a_line() -> None:
    body = "\n".join(f"    value_{number} = {number}" for number in range(200))
    [example] = examples({"toy": f'def long():\n    """Set two hundred values in turn."""\n{body}\n'})
    assert MAX_CHARACTERS - 20 < len(example.source) <= MAX_CHARACTERS
    assert example.source.splitlines()[-1] in body.splitlines()


def test_the_frozen_file_is_small_and_has_its_licence_and_changes_beside_it() -> None:
    assert (EMBEDDED / "stdlib-code.jsonl.xz").stat().st_size < 1_000_000
    licence = (EMBEDDED / "LICENSE-PSF.txt").read_text()
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in licence
    assert "Python Software Foundation;\nAll Rights Reserved" in licence
    changes = " ".join((EMBEDDED / "CHANGES.md").read_text().split())
    about = read_about("stdlib-code")
    assert f"CPython {about['python']}," in changes
    assert f"prose were taken: {about['documents']} of them" in changes
    assert f"{about['train']} for training and {about['test']} for testing" in changes


def test_a_new_build_equals_the_frozen_file(tmp_path: Path) -> None:
    frozen = read_about("stdlib-code")
    if platform.python_version() != frozen["python"]:
        pytest.skip(f"frozen from CPython {frozen['python']}; this is {platform.python_version()}")
    about = build(tmp_path)
    if about["modules_sha256"] != frozen["modules_sha256"]:
        pytest.skip("the standard library of this interpreter was patched or trimmed")
    built, shipped = (folder / "stdlib-code.jsonl.xz" for folder in (tmp_path, EMBEDDED))
    assert lzma.decompress(built.read_bytes()) == lzma.decompress(shipped.read_bytes())
    for name in ("CHANGES.md", "LICENSE-PSF.txt"):
        assert (tmp_path / name).read_bytes() == (EMBEDDED / name).read_bytes()


def test_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    with pytest.raises(MixbenchError, match=r"built from the library of CPython 3\.11; this is CPython"):
        build(tmp_path)
    assert not list(tmp_path.iterdir())
