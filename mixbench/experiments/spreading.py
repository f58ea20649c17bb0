"""`mixbench eval --ray`: workers encode the documents, and then all goes on as it does without them.

The unit of work is a shard of a model and a task, as the store keeps it. A worker encodes a shard as this
process would, by the same batches, and its embeddings go into the store; the evaluation then reads them. So
rankings, scores and files come from the one path that they always come from, and have the same bits.

Ray starts the workers and moves what they need. Who gets which shard is decided here: a worker that is lost
gives its shards back, and others go on with them, whether or not the cluster can replace it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mixbench.data import RetrievalData
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.fusing import leaves
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.ray_cluster import LOCAL, connected, one_line, worker_shares
from mixbench.experiments.ray_worker import Source, Worker, pack
from mixbench.experiments.systems import E5_MISTRAL, MINILM, SHIPPED, EncoderOptions
from mixbench.models import PRESETS
from mixbench.retrievers import Retriever
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.encoding import Encoding
from mixbench.retrievers.store import GIB, EmbeddingStore, shard_key

if TYPE_CHECKING:
    from torch import Tensor

IN_FLIGHT = 2
"""Shards that a worker has at a time: one that it encodes, and the next."""
LIVES = 3
"""Workers that may be lost over one shard."""
PATIENCE = 60
"""Seconds without anything from a worker, after which it is said that there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A shard that the store lacks."""

    source: Source
    model: str
    key: str
    texts: Sequence[str]


def encoders_of(name: str, system: Retriever) -> list[tuple[str, DenseRetriever]]:
    """Return the encoders whose embeddings `system`, opened by `name`, keeps, by the names that open them."""
    return [(leaf, each) for leaf, each in leaves(name, system) if isinstance(each, DenseRetriever)]


def missing_pieces(
    encoders: Sequence[tuple[str, DenseRetriever]],
    data: Sequence[RetrievalData],
    options: EncoderOptions,
    seen: dict[str, int],
) -> Iterator[Piece]:
    """Yield the shards of `data` that the store lacks, of each encoder, with the name that opens it.

    `seen` has the keys of shards that were looked at before and their bytes, and gets those of these. Raises
    InputError where the store may not hold all of them until they are read.
    """
    store = store_of(options)
    documents = sum(len(collection.corpus) for collection in data)
    for name, encoder in encoders:
        width = encoder.model.dtype.itemsize if encoder.model.dtype else 4
        each = width * (encoder.model.get_embedding_dimension() or 0)
        needed = sum(seen.values()) + documents * each
        if needed > store.limit:
            raise InputError(
                f"store limit {store.limit / GIB:g} GiB: with {documents:,} embeddings of {encoder.name} it"
                f" would hold {needed / GIB:.3g}; raise --store-limit"
            )
        for piece in _pieces(name, encoder, data, options):
            if piece.key not in seen and not store.holds(encoder.model_sha256, piece.key):
                yield piece
            seen[piece.key] = len(piece.texts) * each


def store_of(options: EncoderOptions) -> EmbeddingStore:
    """Return the store that workers' embeddings go into. Raises InputError where there is none."""
    if options.encoding is None or options.encoding.store is None:
        raise InputError("--ray brings embeddings into the store; leave out --no-store")
    return options.encoding.store


def encode_by_workers(address: str, pieces: Iterable[Piece], encoding: Encoding, device: str) -> None:
    """Let the workers of the Ray cluster at `address` encode `pieces`, and keep what comes back.

    Ray is started only where there is a piece. Raises MixbenchError, in one line, where the cluster is not
    reachable, a worker cannot open a model, or no embeddings can be kept.
    """
    remaining = iter(pieces)
    first = next(remaining, None)
    if first is None:
        return
    with connected(address), progress_bar("documents encoded by workers") as advance:
        workers, share = worker_shares(device)
        say(f"{workers} workers encode, each with {next(iter(share.values()))} {_kind(share)}")
        crew = _Crew(size=workers, share=share, encoding=encoding, shipping=address != LOCAL, advance=advance)
        for _ in range(workers):
            crew.hire()
        crew.work(first, remaining)


@dataclass(kw_only=True, eq=False)
class _Hired:
    """A worker, and the model that it was last told to open."""

    actor: Any
    source: Source | None = None


@dataclass(kw_only=True, eq=False)
class _Crew:
    """The workers, and what each has to do."""

    size: int
    share: Mapping[str, int]
    encoding: Encoding
    shipping: bool
    """Whether model folders go to workers as bytes: they may lack our disk."""
    advance: Callable[[int], None]
    pending: dict[Any, tuple[_Hired, Piece | None]] = field(default_factory=dict)
    """What is awaited, of which worker: a shard, or of None that it is there or has opened a model."""
    again: list[Piece] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    """How many workers were lost over a shard, by its key; by "" those without one, since the last shard."""
    packed: dict[str, Any] = field(default_factory=dict)
    """Model folders that Ray holds, by their paths."""

    def hire(self) -> None:
        """Start a worker; it is there once the cluster has room for it."""
        import ray

        actor = ray.remote(Worker).options(**self.share).remote()
        self.pending[actor.__ray_ready__.remote()] = (_Hired(actor=actor), None)

    def work(self, first: Piece, others: Iterator[Piece]) -> None:
        """Hand out all pieces, and return when each is kept."""
        import ray

        self.again.append(first)
        left = True
        while left:
            (done, *_), _ = self._wait()
            worker, piece = self.pending.pop(done)
            try:
                answer = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise MixbenchError(_told(error)) from None
            except ray.exceptions.RayError as error:
                self._lose(worker, piece, error)
                continue
            if piece is not None:
                self._keep(piece, worker, *answer)
            self._hand_out(worker, others)
            left = bool(self.again) or any(piece for _, piece in self.pending.values())

    def _wait(self) -> tuple[list[Any], list[Any]]:
        import ray

        awaited = list(self.pending)
        found = ray.wait(awaited, num_returns=1, timeout=PATIENCE)
        if not found[0] and not any(piece for _, piece in self.pending.values()):
            say("the Ray cluster has no worker for us yet; waiting")
        return cast(tuple[list[Any], list[Any]], found if found[0] else ray.wait(awaited, num_returns=1))

    def _hand_out(self, worker: _Hired, others: Iterator[Piece]) -> None:
        busy = sum(each is worker and piece is not None for each, piece in self.pending.values())
        while busy < IN_FLIGHT:
            piece = self.again.pop() if self.again else next(others, None)
            if piece is None:
                return
            if piece.source != worker.source:
                worker.source = piece.source
                opened = worker.actor.open.remote(piece.source, self._packed(piece.source))
                self.pending[opened] = (worker, None)
            self.pending[worker.actor.encode.remote(piece.texts)] = (worker, piece)
            busy += 1

    def _keep(self, piece: Piece, worker: _Hired, embeddings: "Tensor", halved: int | None) -> None:
        store = self.encoding.store
        assert store is not None
        self.encoding.keep(piece.source.settings["model_sha256"], piece.key, embeddings, piece.model)
        if store.full:
            raise MixbenchError(f"{store.folder}: embeddings of workers cannot be kept; give another --store")
        self.lost[""] = 0
        self.encoding.elsewhere[piece.key] = (worker.actor._actor_id.hex(), halved)
        self.advance(len(piece.texts))

    def _lose(self, worker: _Hired, piece: Piece | None, error: Exception) -> None:
        """Take back what a worker had that is no more, and start another, once for each worker."""
        key = "" if piece is None else piece.key
        self.lost[key] += 1
        if self.lost[key] >= LIVES * (1 if piece else self.size):
            raise MixbenchError(f"Ray loses each worker that is given the same work ({one_line(error)})")
        if piece is not None:
            self.again.append(piece)
        if not any(each is worker for each, _ in self.pending.values()):
            say(f"a worker was lost ({one_line(error)}); others encode its shards")
            self.hire()

    def _packed(self, source: Source) -> Any:
        import ray

        if not self.shipping or not _names_folder(source.name):
            return None
        if source.name not in self.packed:
            self.packed[source.name] = ray.put(pack(Path(source.name)))
        return self.packed[source.name]


def _pieces(
    name: str, encoder: DenseRetriever, data: Sequence[RetrievalData], options: EncoderOptions
) -> Iterator[Piece]:
    place = str(Path(name).resolve()) if _names_folder(name) else name
    trusted = (place,) if options.trusts(name) else ()
    # A worker sees its own GPU alone, and knows it as the first.
    device = options.device.partition(":")[0]
    own = replace(options, device=device, encoding=None, rerank=None, trust_remote_code=trusted)
    settings = encoder.settings
    source = Source(name=place, options=own, settings=settings)
    for collection in data:
        for shard in encoder.shards(collection.corpus):
            texts = [document.content for document in shard]
            yield Piece(source=source, model=encoder.name, key=shard_key(settings, texts), texts=texts)


def _names_folder(name: str) -> bool:
    """Tell whether `open_system` takes a name for that of a folder."""
    return name not in (MINILM, SHIPPED, E5_MISTRAL, *PRESETS) and Path(name).is_dir()


def _kind(share: Mapping[str, int]) -> str:
    return "GPU" if "num_gpus" in share else "processor cores"


def _told(error: Any) -> str:
    cause = error.cause
    return f"a worker says: {cause if isinstance(cause, MixbenchError) else one_line(error)}"
