"""`mixbench eval --ray`: workers encode the documents, and then all goes on as it does without them.

The unit of work is a shard of a model and a task, as the store keeps it. A worker encodes a shard as this
process would, by the same batches, and its embeddings go into the store; the evaluation then reads them. So
rankings, scores and files come from the one path that they always come from, and have the same bits.

Ray starts the workers and moves what they need. Who gets which shard is decided here: a worker that is lost
gives its shards back, and others go on with them, whether or not the cluster can replace it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from mixbench.data import RetrievalData
from mixbench.errors import InputError, MixbenchError
from mixbench.experiments.fusing import leaves
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.ray_cluster import LOCAL, connected, one_line, worker_shares
from mixbench.experiments.ray_worker import Source, Worker, pack
from mixbench.experiments.systems import EncoderOptions
from mixbench.retrievers import Retriever
from mixbench.retrievers.dense import DenseRetriever
from mixbench.retrievers.encoding import Encoding
from mixbench.retrievers.store import GIB, EmbeddingStore, shard_key
from mixbench.tasks import Task

IN_FLIGHT = 2
"""Shards that a worker has at a time: one that it encodes, and the next."""
LIVES = 3
"""Workers that may be lost over one shard, or before any is ready."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A shard that the store lacks."""

    source: Source
    model: str
    key: str
    texts: Sequence[str]


def missing_pieces(
    names: Sequence[str],
    systems: Sequence[Retriever],
    tasks: Sequence[Task],
    options: EncoderOptions,
    load: Callable[[Task], Sequence[RetrievalData]],
    wanted: Callable[[Retriever, Task, Sequence[RetrievalData]], bool],
) -> Iterator[Piece]:
    """Yield what is to be encoded, model by model, since a worker has one model at a time.

    `load` gives the data of a task, `wanted` tells whether a system is to be evaluated on it. Raises
    InputError where the store's limit is too low for all that is kept.
    """
    store = store_of(options)
    seen: set[str] = set()
    needed = 0
    for name, system in zip(names, systems, strict=True):
        encoders = [leaf for leaf in leaves(name, system) if isinstance(leaf[1], DenseRetriever)]
        for task in tasks if encoders else ():
            data = load(task)
            if not wanted(system, task, data):
                continue
            for leaf, encoder in encoders:
                for piece in _pieces(leaf, encoder, data, options):
                    if piece.key in seen:
                        continue
                    seen.add(piece.key)
                    needed += _bytes(encoder, len(piece.texts))
                    if needed > store.limit:
                        raise InputError(
                            f"store limit {store.limit / GIB:g}: the embeddings of {name} on {task.name} need"
                            " more GiB to be kept until they are read; raise --store-limit"
                        )
                    if not store.holds(piece.source.settings["model_sha256"], piece.key):
                        yield piece


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
        crew = _Crew(share=share, encoding=encoding, shipping=address != LOCAL, advance=advance)
        for _ in range(workers):
            crew.hire()
        crew.work(first, remaining)


@dataclass(kw_only=True, eq=False)
class _Crew:
    """The workers, and what each has to do."""

    share: Any
    encoding: Encoding
    shipping: bool
    """Whether model folders go to workers as bytes: they may lack our disk."""
    advance: Callable[[int], None]
    pending: dict[Any, tuple[Any, Piece | None]] = field(default_factory=dict)
    """What is awaited, of which worker: a shard, or of None that it is there."""
    again: list[Piece] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    """How many workers were lost over a shard, by its key; by "" those that never were there."""

    def hire(self) -> None:
        """Start a worker; it is there once the cluster has room for it."""
        import ray

        worker = ray.remote(Worker).options(**self.share).remote()
        self.pending[worker.ready.remote()] = (worker, None)

    def work(self, first: Piece, others: Iterator[Piece]) -> None:
        """Hand out all pieces, and return when each is kept."""
        import ray

        self.again.append(first)
        while True:
            (done,), _ = ray.wait(list(self.pending), num_returns=1)
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
            if not self.again and all(piece is None for _, piece in self.pending.values()):
                return

    def _hand_out(self, worker: Any, others: Iterator[Piece]) -> None:
        busy = sum(each is worker for each, _ in self.pending.values())
        while busy < IN_FLIGHT:
            piece = self.again.pop() if self.again else next(others, None)
            if piece is None:
                return
            packed = self._packed(piece.source) if self.shipping else None
            self.pending[worker.encode.remote(piece.source, piece.texts, packed)] = (worker, piece)
            busy += 1

    def _keep(self, piece: Piece, worker: Any, embeddings: Any, halved: int | None) -> None:
        store = self.encoding.store
        assert store is not None
        self.encoding.keep(piece.source.settings["model_sha256"], piece.key, embeddings, piece.model)
        if store.full:
            raise MixbenchError(f"{store.folder}: embeddings of workers cannot be kept; give another --store")
        self.encoding.elsewhere[piece.key] = (worker._actor_id.hex(), halved)
        self.advance(len(piece.texts))

    def _lose(self, worker: Any, piece: Piece | None, error: Exception) -> None:
        """Take back what a worker had that is no more, and start another, once for each worker."""
        key = "" if piece is None else piece.key
        self.lost[key] = self.lost.get(key, 0) + 1
        if self.lost[key] >= LIVES:
            raise MixbenchError(f"{LIVES} workers were lost over one shard ({one_line(error)})")
        if piece is not None:
            self.again.append(piece)
        if not any(each is worker for each, _ in self.pending.values()):
            say(f"a worker was lost ({one_line(error)}); others encode its shards")
            self.hire()

    @cache  # noqa: B019  # a crew lives as long as its command
    def _reference(self, folder: Path) -> Any:
        import ray

        return ray.put(pack(folder))

    def _packed(self, source: Source) -> Any:
        folder = Path(source.name)
        return self._reference(folder) if folder.is_dir() else None


def _pieces(
    name: str, encoder: DenseRetriever, data: Sequence[RetrievalData], options: EncoderOptions
) -> Iterator[Piece]:
    place = str(Path(name).resolve()) if Path(name).is_dir() else name
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


def _bytes(encoder: DenseRetriever, texts: int) -> int:
    return texts * (encoder.model.get_embedding_dimension() or 0) * encoder.model.dtype.itemsize


def _kind(share: Any) -> str:
    return "GPU" if "num_gpus" in share else "processor cores"


def _told(error: Any) -> str:
    cause = error.cause
    return f"a worker says: {cause if isinstance(cause, MixbenchError) else one_line(error)}"
