"""From a teacher's name to what training is handed: its store, and how to open it where that lacks texts.

What the store holds is identified without the weights: by the hash of the model's files where they are here,
else by the name in the store. So embeddings may be made on one machine and used on another.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixbench.errors import CheckpointError, InputError, MixbenchError
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.systems import (
    MINILM,
    MINILM_PACKAGE,
    SHIPPED,
    EncoderOptions,
    minilm_folder,
    open_system,
)
from mixbench.models import PRESETS

if TYPE_CHECKING:
    from mixbench.retrievers.dense import DenseRetriever
    from mixbench.training.distill import Teacher
    from mixbench.training.teacher_store import Encode, Side, TeacherCard

TEXTS_AT_ONCE = {"cuda": 16_384}
"""Texts sorted by length together, by type of device; `FEW_TEXTS` on others."""
FEW_TEXTS, BATCH = 1_024, {"cuda": 512}
SHOWN = {MINILM: "all-MiniLM-L6-v2"}


def teacher_places() -> Path:
    """Return the folder that teachers' embeddings are kept in: ~/.cache/mixbench/teachers."""
    return Path.home() / ".cache" / "mixbench" / "teachers"


def find_teacher(name: str, root: Path | None, device: str) -> "Teacher":
    """Return the teacher that `-m` would call `name`, with its store below `root`.

    Its weights are read only if the store does not know it, or, later, lacks one of the texts.

    Raises:
        UnknownName: nothing answers to the name.
        InputError: it is no encoder, or several stored teachers have the name and no files tell which.
        CheckpointError: it or its store cannot be read.
    """
    from mixbench.training.distill import Teacher
    from mixbench.training.teacher_store import TeacherCard, TeacherStore

    root = root or teacher_places()
    opened: list[DenseRetriever] = []
    card = _stored(name, root)
    if card is None:
        retriever = _open_encoder(name, device)
        opened.append(retriever)
        sources = retriever.training_sources
        card = TeacherCard(
            name=retriever.name,
            sha256=retriever.model_sha256,
            training_sources=None if sources is None else tuple(sources),
            dimension=int(retriever.model.get_embedding_dimension() or 0),
        )
    if card.training_sources is None:
        say(f"teacher {card.name}: nobody says what it was trained on; in-domain results cannot be marked")
    known = card

    def encode() -> "Encode":
        try:
            if not opened:
                opened.append(_open_encoder(name, device))
        except MixbenchError as error:
            problem = f"{root}: has not all texts of this run, and teacher {name!r} cannot be opened"
            raise InputError(f"{problem} ({error})") from error
        if opened[0].model_sha256 != known.sha256:
            raise CheckpointError(
                f"teacher {name!r} is not the one in {root}: its files have changed; "
                f"give another --teacher-store, or delete {root / known.sha256[:16]}"
            )
        return _encoder(opened[0])

    return Teacher(TeacherStore(root, card), encode)


def _stored(name: str, root: Path) -> "TeacherCard | None":
    """Return the card of a teacher that `root` knows, by the hash of its files or else by its name."""
    from mixbench.models.load import model_folder, model_sha256
    from mixbench.training.teacher_store import stored_cards

    cards = stored_cards(root)
    if not cards or name in PRESETS:
        return None
    folder = model_folder(SHIPPED) if name == SHIPPED else Path(name)
    if name == MINILM and _installed(MINILM_PACKAGE):
        folder = minilm_folder()
    if folder.is_dir():
        sha256 = model_sha256(folder)
        return next((card for card in cards if card.sha256 == sha256), None)
    shown = SHOWN.get(name, name)
    named = [card for card in cards if card.name in (shown, Path(name).name)]
    if len(named) > 1:
        raise InputError(
            f"{root}: holds {len(named)} teachers called {shown!r}, and no model files here tell which;"
            " give the model's folder"
        )
    return named[0] if named else None


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _open_encoder(name: str, device: str) -> "DenseRetriever":
    from mixbench.retrievers.dense import DenseRetriever

    retriever = open_system(
        name, EncoderOptions(device=device, batch_size=BATCH.get(device.split(":")[0], 64))
    )
    if not isinstance(retriever, DenseRetriever):
        raise InputError(f"teacher {name!r} is no encoder with one embedding a text; give another --teacher")
    return retriever


def _encoder(retriever: "DenseRetriever") -> "Encode":
    """Return what embeds texts as the teacher would in an evaluation, its prompts before them."""
    import numpy as np

    model = retriever.model
    at_once = TEXTS_AT_ONCE.get(model.device.type, FEW_TEXTS)

    def encode(side: "Side", texts: Sequence[str]) -> Any:
        run, prompt = (
            (model.encode_query, retriever.query_prompt)
            if side == "query"
            else (model.encode_document, retriever.document_prompt)
        )
        parts = []
        with progress_bar(f"{retriever.name} embeds {side} texts", len(texts)) as advance:
            for start in range(0, len(texts), at_once):
                part = list(texts[start : start + at_once])
                parts.append(
                    run(
                        part,
                        prompt=prompt,
                        batch_size=retriever.batch_size,
                        convert_to_numpy=True,
                        show_progress_bar=False,
                    )
                )
                advance(len(part))
        return np.concatenate(parts)

    return encode
