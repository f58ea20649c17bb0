"""The fields of a line, as TREC's forms divide them: names without white space, numbers as written."""

import re
from pathlib import Path

from mixbench.errors import InputError

INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


def split_fields(path: Path, number: int, line: str, form: str) -> list[str]:
    """Return the fields of a line that has the form "name name ...". Raises InputError for more or fewer."""
    fields = line.split()
    if len(fields) != len(form.split()):
        raise InputError.at(path, number, f"{len(fields)} fields in {line!r:.80}; write {form!r}")
    return fields


def read_integer(path: Path, number: int, name: str, field: str) -> int:
    """Return the whole number in a field called `name`. Raises InputError."""
    if not INTEGER.fullmatch(field):
        raise InputError.at(path, number, f"{name} {field!r:.40} is not an integer; write one")
    return int(field)


def check_name(form: str, kind: str, name: str) -> None:
    """Raise InputError where `name`, the `kind` of thing that it says, cannot stand in a line of a `form`."""
    if name.split() != [name]:
        raise InputError(f"{kind} {name!r}: a TREC {form} holds no empty name and no white space; rename it")
