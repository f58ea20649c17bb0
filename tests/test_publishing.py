"""What `mixbench export` writes, what its card says, what it replaces and what it refuses."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from exported_models import TEXTS, Exported, export_all
from safetensors.torch import load_file

from mixbench import cli
from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.experiments.publishing import run_export
from mixbench.models.load import load_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_all(tmp_path_factory)


@pytest.fixture
def mixer(exported: Exported, tmp_path: Path) -> Path:
    """A copy of an exported mixer, to be spoilt."""
    return Path(shutil.copytree(exported.folder / "left", tmp_path / "mixer"))


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
