"""Folders of a run: checkpoints in a hidden sibling of the output, the output itself whole or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from mixbench.errors import CheckpointError, InputError
from mixbench.files import check_writable, parse_json, write_atomic
from mixbench.full_disk import writing
from mixbench.training.record import RECORD_FILE, model_card, render_record

PLAN_FILE = "plan.json"
STATE_FILE = "trainer_state.json"

Rework = Callable[[Path], None]
"""Changes files of a model folder."""


def as_it_is(folder: Path) -> None:
    """Change nothing."""


class Workspace:
    """The folder `.<name>.training` beside the output folder `<name>`.

    It holds the plan of the run (what a resumed run must share with it) and its checkpoints, and goes when
    the run has made its last step.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f".{output.name}.training"

    def last_checkpoint(self) -> Path | None:
        """Return the newest whole checkpoint: transformers writes the state file last, and in its place.

        Where none is whole it is the newest, so that what is wrong with it is told.
        """
        stated = [path for path in self.folder.glob(f"checkpoint-*/{STATE_FILE}") if _step(path) >= 0]
        stated.sort(key=_step, reverse=True)
        return next((path.parent for path in [*filter(_whole, stated), *stated]), None)

    def check(self, resume: bool, overwrite: bool) -> None:
        """Refuse what would overwrite or lose work unasked; changes nothing.

        Raises:
            InputError: the output is there already, an unfinished run is, or there is nothing to resume.
            MixbenchError: nothing may be written beside the output.
        """
        check_writable(self.output.parent)
        if resume and self.last_checkpoint() is None:
            raise InputError(f"{self.folder}: no checkpoint to resume from; start again without --resume")
        if resume or overwrite:
            return
        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise InputError(f"{self.output}: exists already; choose another, or replace it with --overwrite")
        if self.last_checkpoint() is not None:
            raise InputError(
                f"{self.folder}: an unfinished run is here; go on with --resume, or drop it with --overwrite"
            )

    def open(self, plan: Mapping[str, Any], resume: bool) -> Path | None:
        """Start a run by its plan, or check that it is the one being resumed; return its last checkpoint.

        Raises:
            InputError: the run to resume had another plan; names what differs.
            CheckpointError: its plan cannot be read.
        """
        path = self.folder / PLAN_FILE
        if not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_atomic(path, json.dumps(plan, indent=2) + "\n")
            return None
        try:
            before = dict(parse_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{path}: the plan of this run cannot be read ({error})") from None
        for key, value in json.loads(json.dumps(plan)).items():
            if before.get(key) != value:
                raise InputError(f"{path}: cannot resume: {key} was {before.get(key)!r} and now is {value!r}")
        return self.last_checkpoint()

    def publish(
        self, model: SentenceTransformer, record: Mapping[str, Any], finished: bool, rework: Rework = as_it_is
    ) -> Path:
        """Put model, record and card in place of the output; drop the checkpoints if the run is finished."""
        files = {RECORD_FILE: render_record(record), "README.md": model_card(self.output.name, record)}
        return self.publish_files(model, files, finished, rework)

    def publish_files(
        self,
        model: SentenceTransformer,
        files: Mapping[str, str | bytes],
        finished: bool,
        rework: Rework = as_it_is,
    ) -> Path:
        """Put model and `files`, by name, in place of the output; drop the checkpoints if finished.

        `rework` is given the folder that has them before it is put there.

        Raises:
            MixbenchError: no space is left for it; what was at the output before stays whole.
        """
        model.model_card_data.model_name = self.output.name
        staged, replaced = self.folder / "staged", self.folder / "replaced"
        for folder in (staged, replaced):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            with writing(self.output):
                model.save_pretrained(str(staged), create_model_card=False)
                for name, content in files.items():
                    write_atomic(staged / name, content)
                rework(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        if self.output.exists():
            self.output.rename(replaced)
        staged.rename(self.output)
        shutil.rmtree(self.folder if finished else replaced, ignore_errors=True)
        return self.output


def _step(state: Path) -> int:
    """Return the step of a checkpoint's state file, -1 where its folder names none."""
    number = state.parent.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _whole(state: Path) -> bool:
    try:
        parse_json(state.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
