"""What a verb has measured, as JSON of its own fields."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class JsonReport:
    """A dataclass that is written as it is."""

    def to_json(self: "DataclassInstance") -> str:
        """Return the report as indented JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"
