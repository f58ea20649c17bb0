"""What a model is, and what it is a control of, by what it is built of and never by its name."""

from pathlib import Path

import pytest

from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.models import build_model
from mixbench.models.architecture import architecture_of, control_of
from mixbench.retrievers.dense import DenseRetriever


@pytest.mark.parametrize(
    ("preset", "architecture", "control"),
    [
        ("tiny", "masked mixer", None),
        ("tiny-grouped", "masked mixer", None),
        ("tiny-identity", "mixer without token mixing", "masked mixer"),
        ("tiny-static", "mean of token embeddings", "masked mixer"),
        ("tiny-twin", "transformer", None),
        ("tiny-bi-twin", "transformer", None),
        ("tiny-gpt", "transformer", None),
    ],
)
def test_a_preset_is_what_it_is_built_of(preset: str, architecture: str, control: str | None) -> None:
    found = architecture_of(build_model(preset))

    assert found == architecture
    assert control_of(found, trained=True) == control
    assert control_of(found, trained=False) == (control or architecture)


def opened(name: str) -> tuple[str | None, str | None]:
    retriever = open_system(name, EncoderOptions())
    assert isinstance(retriever, DenseRetriever)
    return retriever.architecture, retriever.control_of


def test_a_system_says_what_it_is_and_an_untrained_one_is_a_control(tmp_path: Path) -> None:
    assert opened("mixer-tiny") == ("masked mixer", None)
    assert opened("tiny") == ("masked mixer", "masked mixer")
    assert opened("tiny-twin") == ("transformer", "transformer")


def test_a_model_without_our_record_is_nobodys_control(tmp_path: Path) -> None:
    folder = tmp_path / "static"
    build_model("tiny-static").save(str(folder))
    assert opened(str(folder)) == ("mean of token embeddings", None)

    (folder / "mixbench.json").write_text('{"training_sources": []}')
    assert opened(str(folder)) == ("mean of token embeddings", "masked mixer")
