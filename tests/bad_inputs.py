"""The table of bad inputs, `bad_inputs.toml`: what each is, the command that reads it, and what it answers.

    python tests/bad_inputs.py      writes BAD_INPUTS.md, the same table for people

A case puts one file in the place of a valid one, or takes it away, in the folder that `make_place` fills. The
command runs in the folder `here` beside it.
"""

import gzip
import io
import json
import lzma
import shutil
import stat
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE, PAGE = FOLDER / "bad_inputs.toml", FOLDER / "BAD_INPUTS.md"
HEAD = """# Bad inputs

What mixbench answers to each, on standard error, with exit status 1 and nothing written. Rendered from
`bad_inputs.toml` by `python tests/bad_inputs.py`; the tests run every row.

| input | command | answer |
|---|---|---|
"""
PACK = {
    "": bytes,
    "gz": lambda content: gzip.compress(content, 1, mtime=0),
    "xz": lambda content: lzma.compress(content, preset=0),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One bad input: `file` below the place gets `text`, repeated, or `hex`, or members of a `zip`.

    Of a file of lines, `line` is the one that `text` takes the place of. `key` is the key of JSON that gets
    `value`. `absent` takes the file away.
    """

    says: str
    command: str
    message: str
    file: str = ""
    text: str = ""
    times: int = 1
    pack: str = ""
    hex: str = ""
    line: int = 0
    key: str = ""
    value: object = None
    zip: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    absent: bool = False

    def spoil(self, place: Path) -> None:
        """Put the bad input where it belongs."""
        if not self.file:
            return
        path = next(place.glob(self.file), place / self.file)
        if self.absent:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = bytes.fromhex(self.hex) or self.times * self.text.encode()
        if self.line:
            lines = path.read_bytes().splitlines()
            lines[self.line - 1] = content
            content = b"\n".join(lines) + b"\n"
        if self.key:
            content = json.dumps({**json.loads(path.read_bytes()), self.key: self.value}).encode()
        path.write_bytes(self._zipped() if self.zip else PACK[self.pack](content))

    def _zipped(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.zip.items():
                member = zipfile.ZipInfo(name)
                member.compress_type = zipfile.ZIP_DEFLATED
                if name in self.links:
                    member.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(member, self.times * content)
        return made.getvalue()


def read_cases() -> list[Case]:
    """Return the cases of the table."""
    return [Case(**stated) for stated in tomllib.loads(TABLE.read_text(encoding="utf-8"))["input"]]


def render(cases: list[Case]) -> str:
    """Return the table in Markdown."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    rows = (f"| {cell(each.says)} | `{cell(each.command)}` | {cell(each.message)} |\n" for each in cases)
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render(read_cases()), encoding="utf-8")
