"""Exported models: the same embeddings without mixbench, and with it none of their code is run."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from word_overlap import make_data, make_task

from mixbench import cli
from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.evaluation import evaluate
from mixbench.experiments.publishing import run_export
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.models.build import build_mixer_encoder, build_transformer_encoder
from mixbench.models.load import load_model, model_folder, model_sha256
from mixbench.models.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

torch.set_num_threads(1)

SENTENCE = "the lift of a wing in a flow over a flat plate is not its drag at mach 2.5 "
TEXTS = [
    "",
    " \n",
    "wing",
    "Ünïcode 混合 😀",
    *((30 * SENTENCE)[: 6 * size**2] for size in range(1, 17)),
]
MIXERS, TWINS = ["shipped", "left"], ["twin", "bi-twin"]
MODELS = [*MIXERS, *TWINS]
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


def build(folder: Path) -> dict[str, Path]:
    """Write a model of each kind below `folder`; the shipped one is where it is."""
    save_tokenizer(train_tokenizer(2 * [SENTENCE], 400), folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    sizes = {"width": 64, "depth": 1, "context": 16}
    left = build_mixer_encoder({**sizes, "alignment": "left"}, tokenizer, seed=1, pooling="mean")
    left.max_seq_length = 9
    left.prompts = {"query": "find: ", "document": ""}
    left.save(str(folder / "left"), create_model_card=False)
    for name, causal in (("twin", True), ("bi-twin", False)):
        twin = build_transformer_encoder({**sizes, "feedforward": 48, "causal": causal}, tokenizer, seed=1)
        twin.save(str(folder / name), create_model_card=False)
    return {"shipped": model_folder("mixer-tiny"), **{name: folder / name for name in MODELS[1:]}}


class Exported(NamedTuple):
    """Folders of models, and where each is exported to."""

    sources: dict[str, Path]
    folder: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    sources = build(tmp_path_factory.mktemp("sources"))
    folder = tmp_path_factory.mktemp("exported")
    for name, source in sources.items():
        assert run_export("mixer-tiny" if name == "shipped" else str(source), folder / name) == folder / name
    assert sorted(path.name for path in folder.iterdir()) == sorted(MODELS)  # nothing else is left
    return Exported(sources, folder)


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
        env={**os.environ, "PYTHONPATH": guard, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"},
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


# What is written


def test_weights_and_record_are_those_of_the_model(exported: Exported) -> None:
    source, folder = exported.sources["shipped"], exported.folder / "shipped"
    for name in ("model.safetensors", "mixbench.json"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    assert load_file(folder / "model.safetensors")["embedding.weight"].dtype == torch.int8
    assert not (exported.folder / "left" / "mixbench.json").exists()


def test_the_files_of_a_mixer_are_these_and_everyone_may_read_them(exported: Exported) -> None:
    folder = exported.folder / "shipped"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {
        "1_Pooling/config.json", "2_Normalize/config.json", "README.md", "config_sentence_transformers.json",
        "masked_mixer.py", "mixbench.json", "mixer_config.json", "model.safetensors", "modules.json",
        "tokenizer.json",
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o644}
    text = "".join(path.read_text() for name, path in files.items() if not name.endswith("safetensors"))
    assert str(Path.home()) not in text
    assert str(exported.folder) not in text


def test_the_code_says_what_it_was_written_from_and_under_which_licence(exported: Exported) -> None:
    code = (exported.folder / "shipped" / "masked_mixer.py").read_text()
    head = [line for line in code.splitlines()[:5] if line.startswith("#")]
    assert re.match(
        r"# Written by mixbench \S+ \((commit [0-9a-f]{40}|sources [0-9a-f]{64})(, changed)?", head[0]
    )
    assert "mixbench/models/mixer.py" in head[1]
    assert head[2] == "# SPDX-License-Identifier: Apache-2.0"


def test_the_card_says_what_the_record_does_and_no_more(exported: Exported) -> None:
    record = json.loads((exported.folder / "shipped" / "mixbench.json").read_text())
    card = (exported.folder / "shipped" / "README.md").read_text()
    assert card.startswith(
        '---\nlibrary_name: "sentence-transformers"\npipeline_tag: "sentence-similarity"\n'
        'tags: ["sentence-transformers", "feature-extraction", "masked-mixer"]\n'
        'license: "cc-by-sa-4.0"\n---\n\n# shipped\n'
    )
    assert record["command"] in card
    for source in record["sources"]:
        cells = [str(source[key]) for key in ("name", "pairs", "weight", "licence")]
        assert f"| {' | '.join(cells)} |" in card
    assert "6,563,840 parameters, reads at most 256 tokens" in card
    assert f"step {record['best_step']}, the best on pairs held out" in card
    assert f"nDCG@10 {dict(record['dev_ndcg_at_10'])[record['best_step']]:.4f} there" in card
    assert "Weights: CC-BY-SA-4.0. Code in `masked_mixer.py`: Apache-2.0." in card


def test_the_card_of_a_model_without_a_record_makes_nothing_up(exported: Exported) -> None:
    card = (exported.folder / "twin" / "README.md").read_text()
    assert "No record of its training came with it." in card
    assert "No licence of the weights was recorded." in card
    for word in ("license:", "nDCG", "mixer", "Trained"):
        assert word not in card


# What is refused, and what is replaced


def test_a_folder_that_is_there_is_replaced_only_when_asked_and_only_if_it_holds_a_model(
    exported: Exported, tmp_path: Path
) -> None:
    source, output = str(exported.sources["left"]), tmp_path / "new" / "out"
    run_export(source, output)
    (output / "left-over.txt").write_text("")
    with pytest.raises(InputError, match="exists already; choose another folder, or give --overwrite"):
        run_export(source, output)
    assert (output / "left-over.txt").exists()
    run_export(source, output, overwrite=True)
    assert not (output / "left-over.txt").exists()
    (output / "modules.json").unlink()
    with pytest.raises(InputError, match="holds no model, and is not overwritten"):
        run_export(source, output, overwrite=True)
    assert (output / "masked_mixer.py").exists()
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_a_model_can_be_exported_over_itself(
    exported: Exported, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    run_export(str(exported.sources["left"]), tmp_path / "out")
    run_export(str(tmp_path / "out"), tmp_path / "out", overwrite=True)
    expected = load_model(exported.sources["left"]).encode(TEXTS)
    assert (load_model(tmp_path / "out").encode(TEXTS) == expected).all()


def test_a_damaged_model_leaves_what_was_there(mixer: Path, tmp_path: Path) -> None:
    run_export(str(mixer), tmp_path / "out")
    (mixer / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        run_export(str(mixer), tmp_path / "out", overwrite=True)
    load_model(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixer", "out"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny", "'tiny' is a preset, not yet trained; export what train-retriever makes of it"),
        ("no-such-model", "is no folder here and the hub does not give it"),
    ],
)
def test_what_is_no_trained_model_is_refused(tmp_path: Path, model: str, message: str) -> None:
    with pytest.raises(MixbenchError, match=message):
        run_export(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_verb_prints_the_folder_or_one_line_of_what_is_wrong(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["mixbench", "export", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return str(ended.value.code or 0), "".join(capfd.readouterr())

    output = tmp_path / "out"
    assert call(exported.sources["left"], output) == ("0", f"{output}\n")
    refusal = f"mixbench: {output}: exists already; choose another folder, or give --overwrite\n"
    assert call(exported.sources["left"], output) == ("1", refusal)
    assert call(exported.sources["left"], output, "--overwrite") == ("0", f"{output}\n")
