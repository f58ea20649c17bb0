"""Rerankers by name, and late interaction: what stands behind `--rerank` and behind `-m maxsim:MODEL`.

FOLDER, ORG/NAME     a cross-encoder of sentence-transformers, its weights in safetensors
maxsim:MODEL         MaxSim over the token embeddings of an encoder, of any name that `-m` takes
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixbench.errors import InputError
from mixbench.experiments.lineage import read_training_sources
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.retrievers import Retriever
from mixbench.retrievers.rerank import Reranked, Scorer

if TYPE_CHECKING:
    from mixbench.retrievers.late_interaction import TokenEncoder
    from mixbench.retrievers.token_index import LateInteractionRetriever

MAXSIM = "maxsim:"


def open_systems(names: Sequence[str], options: EncoderOptions) -> list[Retriever]:
    """Return the retriever of each name, reranked where the options name a reranker, which is opened once.

    Raises what `open_system` raises, and InputError for a depth without a reranker.
    """
    default = EncoderOptions().rerank_depth
    if options.rerank is None:
        if options.rerank_depth != default:
            raise InputError(f"--rerank-depth {options.rerank_depth} says how deep; add --rerank MODEL")
        return [open_system(name, options) for name in names]
    scorer = open_scorer(options.rerank, options)
    return [Reranked(open_system(name, options), scorer, depth=options.rerank_depth) for name in names]


def open_scorer(name: str, options: EncoderOptions) -> Scorer:
    """Return the reranker called `name`; of the options it takes device, batch size, seed and offline.

    All others on the command line are the first stage's: a reranker has its own.
    """
    own = EncoderOptions(
        device=options.device, batch_size=options.batch_size, seed=options.seed, offline=options.offline
    )
    if name.startswith(MAXSIM):
        from mixbench.retrievers.late_interaction import LateInteractionScorer

        return LateInteractionScorer(_token_encoder(name.removeprefix(MAXSIM), own))
    from mixbench.models.cross_encoder import load_cross_encoder
    from mixbench.models.load import model_folder, model_sha256
    from mixbench.retrievers.cross_encoder import CrossEncoderScorer

    folder = model_folder(name, offline=options.offline)
    return CrossEncoderScorer(
        load_cross_encoder(folder, device=options.device),
        name=_board_name(name),
        model_sha256=model_sha256(folder),
        batch_size=options.batch_size,
        training_sources=read_training_sources(folder),
    )


def open_late_interaction(name: str, options: EncoderOptions) -> "LateInteractionRetriever":
    """Return the retriever called `name`, "maxsim:" and an encoder, that compares with every document."""
    from mixbench.retrievers.token_index import LateInteractionRetriever

    return LateInteractionRetriever(_token_encoder(name.removeprefix(MAXSIM), options))


def _token_encoder(name: str, options: EncoderOptions) -> "TokenEncoder":
    from mixbench.models.late_interaction import as_late_interaction
    from mixbench.retrievers.dense import DenseRetriever
    from mixbench.retrievers.late_interaction import TokenEncoder

    native = _native_encoder(name, options)
    if native is not None:
        return native
    dense = open_system(name, options)
    if not isinstance(dense, DenseRetriever):
        raise InputError(f"{MAXSIM}{name}: {name!r} is no encoder of sentence-transformers; name one")
    encoder = as_late_interaction(dense.model, name)
    if dense.max_length is not None:
        encoder.max_seq_length = dense.max_length
    return TokenEncoder(
        encoder,
        name=_board_name(dense.name),
        model_sha256=dense.model_sha256,
        batch_size=options.batch_size,
        query_prompt=dense.query_prompt,
        document_prompt=dense.document_prompt,
        training_sources=dense.training_sources,
    )


def _native_encoder(name: str, options: EncoderOptions) -> "TokenEncoder | None":
    """Return the model in the folder `name` if it was trained for late interaction, with its own prompts."""
    from mixbench.models.late_interaction import load_late_interaction
    from mixbench.models.load import model_sha256
    from mixbench.retrievers.late_interaction import TokenEncoder

    folder = Path(name)
    encoder = load_late_interaction(folder, device=options.device) if folder.is_dir() else None
    if encoder is None:
        return None
    if options.max_length is not None:
        encoder.max_seq_length = options.max_length
    own = {"query": options.query_prompt, "document": options.document_prompt}
    prompts = {
        kind: encoder.prompts.get(kind) or "" if given is None else given for kind, given in own.items()
    }
    return TokenEncoder(
        encoder,
        name=_board_name(name),
        model_sha256=model_sha256(folder),
        batch_size=options.batch_size,
        query_prompt=prompts["query"],
        document_prompt=prompts["document"],
        training_sources=read_training_sources(folder),
    )


def _board_name(name: str) -> str:
    """Return a model's name as part of another: a folder's last name, "org/name" as "org__name"."""
    return Path(name).resolve().name if Path(name).is_dir() else name.replace("/", "__")
