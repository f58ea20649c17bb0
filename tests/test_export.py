"""Exported models: the same embeddings without mixbench, and with it none of their code is run."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_models import MIXERS, MODELS, TEXTS, TWINS, Exported, export_all
from word_overlap import make_data, make_task

from mixbench.errors import CheckpointError
from mixbench.evaluation import evaluate
from mixbench.experiments.publishing import run_export
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.models.load import load_model, model_sha256
from mixbench.models.tokenizer import load_tokenizer

ELSEWHERE = """
import contextlib, importlib.util, io, json, sys
from pathlib import Path
import numpy as np
from sentence_transformers import SentenceTransformer

said = {"found": importlib.util.find_spec("mixbench") is not None}
texts = json.loads(Path("texts.json").read_text())
for name in sys.argv[1:]:
    try:
        SentenceTransformer(name, device="cpu")
        refusal = ""
    except ValueError as error:
        refusal = str(error)
    model = SentenceTransformer(name, trust_remote_code=True, device="cpu")
    np.save(name.replace("/", "-") + ".npy", model.encode(texts))
    model.save(name.replace("/", "-") + "-again")
    printed = io.StringIO()
    if "/" not in name:
        code = Path(name, "README.md").read_text().split("```python")[1].split("```")[0]
        with contextlib.redirect_stdout(printed):
            exec(code)
    file = sys.modules[type(model[0]).__module__].__file__
    said[name] = {"refusal": refusal, "printed": printed.getvalue(), "file": file}
said["loaded"] = sorted(name for name in sys.modules if name.split(".")[0] == "mixbench")
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_all(tmp_path_factory)


@pytest.fixture
def mixer(exported: Exported, tmp_path: Path) -> Path:
    """A copy of an exported mixer, to be spoilt."""
    return Path(shutil.copytree(exported.folder / "left", tmp_path / "mixer"))


# A machine without mixbench


def make_environment(folder: Path) -> Path:
    """Make a virtual environment of all that is installed here but mixbench; return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    for kind in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(kind)).iterdir():
            ours = "mixbench" in path.name or path.suffix == ".pth"
            if not ours and not (site / path.name).exists():
                (site / path.name).symlink_to(path)
    return Path(sysconfig.get_path("scripts", "venv", paths)) / "python"


def put_on_hub(folder: Path, cache: Path, name: str) -> None:
    """Put a folder where the hub's client keeps what it has downloaded."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


@pytest.fixture(scope="module")
def elsewhere(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a machine without mixbench says of each model, opened as a folder, and of a mixer on the hub."""
    python = make_environment(tmp_path_factory.mktemp("environment"))
    home = tmp_path_factory.mktemp("hf")
    put_on_hub(exported.folder / "left", home / "hub", "org/left")
    (exported.folder / "texts.json").write_text(json.dumps(TEXTS))
    guard = str(Path(__file__).parent / "network_guard")
    done = subprocess.run(
        [python, "-c", ELSEWHERE, *MODELS, "org/left"],
        cwd=exported.folder,
        env={**os.environ, "PYTHONPATH": guard, "HF_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_other_machine_has_no_mixbench(elsewhere: dict[str, Any]) -> None:
    assert (elsewhere["found"], elsewhere["loaded"]) == (False, [])


def test_the_texts_are_short_and_long_and_cut() -> None:
    tokens = [len(ids) for ids in load_tokenizer()(TEXTS)["input_ids"]]
    assert len(TEXTS) == 20
    assert min(tokens) == 1
    assert max(tokens) > 256
    assert len(set(tokens)) > 12


@pytest.mark.parametrize("name", MODELS)
def test_a_machine_without_mixbench_computes_the_same_embeddings(
    exported: Exported, elsewhere: dict[str, Any], name: str
) -> None:
    expected = load_model(exported.sources[name]).encode(TEXTS)
    found = np.load(exported.folder / f"{name}.npy")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected[2] - expected[3]).max() > 1e-3


@pytest.mark.parametrize("name", MIXERS)
def test_a_mixer_brings_its_code_which_runs_only_where_it_is_trusted(
    exported: Exported, elsewhere: dict[str, Any], name: str
) -> None:
    assert "references the module class 'masked_mixer.MaskedMixer'" in elsewhere[name]["refusal"]
    assert "trust_remote_code=True" in elsewhere[name]["refusal"]
    assert Path(elsewhere[name]["file"]).name == "masked_mixer.py"
    assert [path.name for path in exported.folder.glob(f"{name}/**/*.py")] == ["masked_mixer.py"]


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_a_plain_folder_of_sentence_transformers(
    exported: Exported, elsewhere: dict[str, Any], name: str
) -> None:
    assert elsewhere[name]["refusal"] == ""
    assert "sentence_transformers" in Path(elsewhere[name]["file"]).parts
    assert list(exported.folder.glob(f"{name}/**/*.py")) == []
    assert "trust_remote_code" not in (exported.folder / name / "README.md").read_text()


@pytest.mark.parametrize("name", MODELS)
def test_the_code_on_the_card_runs(elsewhere: dict[str, Any], name: str) -> None:
    scores = re.fullmatch(r"tensor\(\[\[(.*), (.*)\]\]\)\n", elsewhere[name]["printed"])
    assert scores is not None
    assert all(-1 <= float(score) <= 1 for score in scores.groups())


def test_a_mixer_on_the_hub_opens_by_its_name(exported: Exported, elsewhere: dict[str, Any]) -> None:
    assert "trust_remote_code=True" in elsewhere["org/left"]["refusal"]
    found = np.load(exported.folder / "org-left.npy")
    assert (found == np.load(exported.folder / "left.npy")).all()


@pytest.mark.parametrize("name", MODELS)
def test_what_the_other_machine_saves_opens_in_mixbench(
    exported: Exported, elsewhere: dict[str, Any], name: str
) -> None:
    again = load_model(exported.folder / f"{name}-again")
    np.testing.assert_allclose(again.encode(TEXTS), np.load(exported.folder / f"{name}.npy"), atol=1e-6)


# A machine with mixbench


@pytest.mark.parametrize("name", MODELS)
def test_mixbench_opens_what_it_exports_with_the_same_embeddings(exported: Exported, name: str) -> None:
    before, after = load_model(exported.sources[name]), load_model(exported.folder / name)
    assert (after.encode(TEXTS) == before.encode(TEXTS)).all()
    assert type(after[0]) is type(before[0])
    assert after.max_seq_length == before.max_seq_length
    assert after.prompts == before.prompts


def test_an_exported_model_has_the_same_scores_under_a_hash_of_its_own(exported: Exported) -> None:
    results = []
    for folder in (exported.sources["shipped"], exported.folder / "shipped"):
        retriever = open_system(str(folder), EncoderOptions())
        results.append(evaluate(retriever, make_task(), [make_data()], command="").result)
    before, after = results
    assert after.scores == before.scores
    assert after.training_sources == before.training_sources
    assert model_sha256(exported.folder / "shipped") != model_sha256(exported.sources["shipped"])


def mark_when_run(folder: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a file of code in `folder` touch a marker when it runs, and importable; return the marker."""
    marker = folder.parent / "ran"
    with (folder / file).open("a") as stream:
        stream.write(f"\nimport pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    monkeypatch.syspath_prepend(str(folder))
    return marker


def test_mixbench_never_runs_the_code_of_an_exported_mixer(
    exported: Exported, mixer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = mark_when_run(mixer, "masked_mixer.py", monkeypatch)
    open_system(str(mixer), EncoderOptions())
    run_export(str(mixer), mixer.parent / "again")
    embeddings = load_model(mixer).encode(TEXTS)
    assert not marker.exists()
    assert (embeddings == load_model(exported.sources["left"]).encode(TEXTS)).all()
    code = (mixer.parent / "again" / "masked_mixer.py").read_text()
    assert "pathlib.Path(" not in code  # the code is written anew
    runpy.run_path(str(mixer / "masked_mixer.py"))
    assert marker.exists()  # so it would have told


@pytest.mark.parametrize("kind", ["masked_mixer.Evil", "evil.Evil", "mixbench.evil.Evil"])
@pytest.mark.parametrize("beside", [True, False])
def test_other_code_in_the_folder_of_an_exported_mixer_is_refused_and_never_runs(
    mixer: Path, monkeypatch: pytest.MonkeyPatch, kind: str, beside: bool
) -> None:
    marker = mark_when_run(mixer, "masked_mixer.py", monkeypatch)
    assert mark_when_run(mixer, "evil.py", monkeypatch) == marker
    entries = json.loads((mixer / "modules.json").read_text()) if beside else []
    entries.append({"idx": len(entries), "name": "evil", "path": "", "type": kind})
    (mixer / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(CheckpointError):
        load_model(mixer)
    with pytest.raises(CheckpointError):
        run_export(str(mixer), mixer.parent / "again")
    assert not marker.exists()
    assert not (mixer.parent / "again").exists()
