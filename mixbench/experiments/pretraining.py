"""`mixbench pretrain`: from a preset or folder and texts to the folder of a language model."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mixbench.data.texts import text_source
from mixbench.errors import InputError
from mixbench.experiments.lineage import command_line, started_from
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.shaping import changed_name, read_changes
from mixbench.models import PRESETS
from mixbench.training.language_config import AUTOENCODERS, PretrainConfig


def token_cache() -> Path:
    """Return the folder that tokenised texts are kept in: ~/.cache/mixbench/tokens."""
    return Path.home() / ".cache" / "mixbench" / "tokens"


def run_pretraining(
    base: str,
    texts: Sequence[str],
    config: PretrainConfig,
    output: Path,
    *,
    device: str,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train preset or model folder `base` on `texts` (files, or hub:ORG/NAME); write the folder `output`.

    `settings` are "FIELD=VALUE" in place of what a preset has. Raises InputError where there is no text, or
    settings for a model that is no preset.
    """
    if not texts:
        raise InputError("nothing to train on: give at least one text file, as --text FILE")
    if settings and base not in PRESETS:
        raise InputError(f"--set changes presets, and {base!r} is none; leave it out")
    changes = read_changes(base, settings)
    from mixbench.models import build_model
    from mixbench.models.autoencoder import Autoencoder
    from mixbench.models.language_model import LanguageModel
    from mixbench.models.load import load_model, model_folder, place
    from mixbench.training.language_record import TextRead
    from mixbench.training.pretrain import pretrain
    from mixbench.training.record import Origin
    from mixbench.training.tokens import cached_tokens

    command = command_line(sys.argv[1:])
    sources = [text_source(text) for text in texts]
    if base in PRESETS:
        origin = Origin(base=changed_name(base, changes), command=command)
        built = build_model(base, seed=config.seed, changes=changes)
        model = place(built, device)
    else:
        folder = model_folder(base)
        origin = started_from(Origin(base=Path(base).name, command=command), folder)
        model = load_model(base, device=device)
    language: LanguageModel | Autoencoder
    if config.objective in AUTOENCODERS:
        unrolled = config.objective == "unrolled-autoencoder"
        language = Autoencoder(model, config.seed, unrolled=unrolled)
    else:
        language = LanguageModel(model)
        if base not in PRESETS:
            language.load_head(folder)
    with progress_bar("tokenising") as advance:
        ids_N = cached_tokens(sources, language.tokenizer, token_cache(), advance)
    with progress_bar("training", config.max_steps) as advance:
        done = 0

        def report(step: int, loss: float, validation: float | None) -> None:
            nonlocal done
            advance(step - done)
            done = step
            if validation is not None:
                say(f"step {step}: loss {loss:.4f}, held out {validation:.4f}")

        return pretrain(
            model,
            language,
            TextRead(ids_N=ids_N, sources=sources),
            config,
            output,
            origin=origin,
            resume=resume,
            overwrite=overwrite,
            report=report,
        )
