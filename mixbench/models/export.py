"""Writing an encoder so that sentence-transformers opens it where mixbench is not installed.

A masked mixer takes its code along: one file, `mixer.py` with what that imports from mixbench copied in. Its
weights stay as they are stored, for the file reads int8 rows too. A transformer needs no code of ours.
"""

import json
import shutil
from pathlib import Path

from sentence_transformers import SentenceTransformer

from mixbench.errors import CheckpointError
from mixbench.files import write_atomic
from mixbench.models.bundle import bundle
from mixbench.models.load import CLASSES, EXPORTED, OURS, load_model, module_entries
from mixbench.models.mixer import WEIGHTS_FILE, MaskedMixer

CODE_FILE = EXPORTED.split(".")[0] + ".py"
HEADER = """\
# {origin}
# Its source is mixbench/models/mixer.py, with what that imports from mixbench copied in. Change it there.
# SPDX-License-Identifier: Apache-2.0
# Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0
"""


def export_encoder(source: Path, folder: Path, origin: str) -> SentenceTransformer:
    """Write the encoder in the folder `source` to `folder`, with its code where it needs any, and return it.

    Args:
        origin: one line for the head of the code, saying what wrote it.

    Raises:
        CheckpointError: `source` is damaged, or holds foreign code or a module that cannot be exported.
    """
    model = load_model(source)
    model.save_pretrained(str(folder), create_model_card=False)
    written = module_entries(folder)
    for entry, stored in zip(written, module_entries(source), strict=False):
        if CLASSES.get(entry["type"]) is MaskedMixer:
            entry["type"] = EXPORTED
            shutil.copyfile(source / stored["path"] / WEIGHTS_FILE, folder / entry["path"] / WEIGHTS_FILE)
            write_atomic(folder / CODE_FILE, HEADER.format(origin=origin) + bundle(MaskedMixer.__module__))
        elif entry["type"].startswith(OURS):
            raise CheckpointError(f"{source}: module {entry['type']!r} cannot be exported")
    write_atomic(folder / "modules.json", json.dumps(written, indent=2) + "\n")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors writes weights that only their owner can read
    return model
