"""`--set FIELD=VALUE`: a mixer, preset or folder, with some of its fields changed, and the new name.

Of a transformer's preset its sizes can be set, `heads`, those of its attention, and the pooling.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from mixbench.errors import InputError
from mixbench.models import PRESETS, check_changes
from mixbench.models.mixer_config import POOLINGS, MixerConfig

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

KINDS: dict[str, Any] = {
    **{name: kind for name, kind in get_type_hints(MixerConfig).items() if name != "vocabulary"},
    "pooling": Literal[POOLINGS],
    "dimension": int,
    "feedforward": int,
}
"""What can be set, and the type of its values. The vocabulary is the tokenizer's."""
TRUTHS = {"true": True, "false": False}


def read_changes(base: str, settings: Sequence[str]) -> dict[str, Any]:
    """Return `settings`, each "FIELD=VALUE", as fields by name, in alphabetical order.

    Raises:
        InputError: one is not of that form, no field or given twice, or its value is of another type; `base`
            is a preset without such a field, or what comes of it cannot be.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not (field and equals and value):
            raise InputError(f"--set {setting!r}: give FIELD=VALUE, as in groups=8")
        if field not in KINDS:
            raise InputError(f"--set {setting!r}: a mixer has no field {field!r}; known: {', '.join(KINDS)}")
        if field in changes:
            raise InputError(f"--set {setting!r}: {field!r} is set twice; set it once")
        changes[field] = _typed(setting, KINDS[field], value)
    if base in PRESETS:
        try:
            check_changes(base, changes)
        except ValueError as error:
            raise InputError(f"--set on preset {base!r}: {error}") from error
    return dict(sorted(changes.items()))


def changed_name(base: str, changes: Mapping[str, Any]) -> str:
    """Return what a changed preset is called: `small[groups=8,pooling=mean]`, and `small` without changes."""
    stated = ",".join(f"{field}={_text(value)}" for field, value in changes.items())
    return f"{base}[{stated}]" if stated else base


def check_shrinkable(model: "SentenceTransformer", base: str) -> None:
    """Raise InputError where the weights of `model` cannot be stored as int8 rows, which only mixers read."""
    from mixbench.models.mixer import MaskedMixer

    if not isinstance(model[0], MaskedMixer):
        raise InputError(f"--shrink stores the weights of mixers, and {base!r} is none; leave it out")


def _typed(setting: str, kind: Any, value: str) -> Any:
    if get_origin(kind) is Literal:
        return _one_of(setting, {word: word for word in get_args(kind)}, value)
    if kind is bool:
        return _one_of(setting, TRUTHS, value)
    try:
        return int(value)
    except ValueError:
        raise InputError(f"--set {setting!r}: {value!r} is no whole number; give one, as 128") from None


def _one_of(setting: str, known: Mapping[str, Any], value: str) -> Any:
    if value not in known:
        raise InputError(f"--set {setting!r}: {value!r} is none of {', '.join(known)}")
    return known[value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
