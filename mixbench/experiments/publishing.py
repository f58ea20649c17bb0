"""`mixbench export`: from a model to a folder that loads where mixbench is not installed."""

import json
import shutil
import tempfile
from pathlib import Path

from mixbench.errors import InputError
from mixbench.experiments.lineage import read_training_sources
from mixbench.experiments.published_card import published_card
from mixbench.files import write_atomic
from mixbench.models import PRESETS
from mixbench.training.record import RECORD_FILE


def run_export(model: str, output: Path, *, overwrite: bool = False) -> Path:
    """Write `model`, a shipped one or a model folder, with its record and a card to the folder `output`.

    It is written whole or not at all. A folder that is there already is replaced only with `overwrite`, and
    only if it holds a model.

    Raises:
        InputError: `output` cannot be written, or `model` is a preset, which has no weights to publish.
        CheckpointError: the model is damaged, or holds code that is not ours.
    """
    from mixbench.evaluation.provenance import describe_run
    from mixbench.models.export import export_encoder
    from mixbench.models.load import model_folder

    if model in PRESETS and not Path(model).is_dir():
        raise InputError(f"{model!r} is a preset, not yet trained; export what train-retriever makes of it")
    _check(output, overwrite)
    source = model_folder(model)
    record = {}
    if read_training_sources(source) is not None:
        record = json.loads((source / RECORD_FILE).read_text(encoding="utf-8"))
    made = describe_run(command="", device="cpu", seed=0)
    state = f"commit {made.commit}" if made.commit else f"sources {made.source_sha256}"
    origin = f"Written by mixbench {made.mixbench} ({state}{', changed since' if made.dirty else ''})."
    target = output.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        staged = Path(scratch, "staged")
        encoder = export_encoder(source, staged, origin)
        if record:
            shutil.copyfile(source / RECORD_FILE, staged / RECORD_FILE)
        write_atomic(staged / "README.md", published_card(target.name, encoder, record, made))
        if target.exists():
            target.rename(Path(scratch, "replaced"))
        staged.rename(target)
    return output


def _check(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise InputError(f"{output}: exists already; choose another folder, or give --overwrite")
    if not (output / "modules.json").is_file():
        raise InputError(f"{output}: holds no model, and is not overwritten; choose another folder")
