"""The README's examples on the embedded task: each runs, in their order, in one empty folder, offline."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
from tiny_mistral import make_snapshot
from tiny_reranker import make_reranker

from mixbench import cli

ROOT = Path(__file__).parents[1]
HEADING = "## Examples that run anywhere"


def recipes() -> list[str]:
    """Return the commands of that section's shell blocks."""
    section = (ROOT / "README.md").read_text().split(f"{HEADING}\n")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def test_the_examples_on_the_embedded_task_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make_reranker(Path("my-reranker"))
    make_snapshot(tmp_path / "hub", width=64)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert recipes()
    for line in recipes():
        command, _, redirected = line.partition(" > ")
        program, *arguments = shlex.split(command)
        if program == "cp":
            subprocess.run(line, shell=True, check=True)
            continue
        assert program == "mixbench", line
        monkeypatch.setattr(sys, "argv", ["mixbench", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert not ended.value.code, f"{line}\n{err}"
        assert out.strip(), line
        if redirected:
            Path(redirected).write_text(out)
