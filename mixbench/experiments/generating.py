"""`mixbench generate`: text from the language model in a folder."""

from mixbench.errors import CheckpointError, InputError
from mixbench.models import PRESETS
from mixbench.models.sampling import Sampling


def run_generation(name: str, prompt: str, tokens: int, sampling: Sampling, *, device: str) -> str:
    """Return `prompt` and what the model called `name` writes after it.

    Raises:
        InputError: `name` is a preset, which is not trained.
        CheckpointError: the model has no language head.
    """
    from mixbench.models.generate import generate
    from mixbench.models.language_model import HEAD_FILE, LanguageModel
    from mixbench.models.load import load_model, model_folder

    if name in PRESETS:
        raise InputError(f"preset {name!r} is untrained; train it first: mixbench pretrain {name} -o FOLDER")
    folder = model_folder(name, offline=True)
    if not (folder / HEAD_FILE).is_file():
        raise CheckpointError(
            f"{name}: has no language head ({HEAD_FILE}); give it one with mixbench pretrain {name} -o FOLDER"
        )
    language = LanguageModel(load_model(folder, device=device))
    language.load_head(folder)
    return prompt + generate(language, prompt, tokens, sampling)
