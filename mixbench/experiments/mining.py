"""`mixbench mine`: from pairs and retrievers to pairs with hard negatives."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixbench.data.pairs import Pairs, read_pairs
from mixbench.errors import InputError
from mixbench.experiments.fusing import Untuned
from mixbench.experiments.progress import progress_bar, say
from mixbench.experiments.systems import EncoderOptions, open_system
from mixbench.experiments.training import train_split_pairs
from mixbench.files import write_atomic
from mixbench.retrievers import Retriever
from mixbench.retrievers.fusion import Fusion
from mixbench.retrievers.run import RunRetriever
from mixbench.tasks import load_task
from mixbench.training.negatives import Candidates, MiningConfig, PairCollection, merge_in_turn


@dataclass(frozen=True, kw_only=True)
class MiningSource:
    """The pairs to mine for: a file, or the train split of a task. Exactly one of the two is given."""

    file: Path | None = None
    task: str | None = None
    tasks_dir: Path | None = None
    data_dir: Path | None = None

    def read(self, offline: bool) -> tuple[list[Pairs], str | None]:
        """Return the pairs, a source for each part of a task, and what mteb calls the task.

        Raises InputError for neither or both, and for what cannot be read.
        """
        if self.file is not None and self.task is None:
            return [read_pairs(self.file)], None
        if self.task is None or self.file is not None:
            raise InputError("mine for one source: give --pairs PATH or --task NAME")
        task = load_task(self.task, self.tasks_dir)
        return train_split_pairs(task, self.data_dir, offline=offline), task.mteb


def run_mining(
    models: Sequence[str],
    source: MiningSource,
    config: MiningConfig,
    options: EncoderOptions,
    output: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the pairs of `source` with their hard negatives to `output`, whole or not at all.

    Each candidate is judged by the retriever that found it; those of several `models` are taken in turn.
    Negatives that the source already has are replaced. Says how many pairs there are, how many negatives, and
    what the filter dropped, over all models and ranks looked at.

    Raises InputError for an output that is no .jsonl or .jsonl.gz file or exists already, for a source or
    a model that cannot be used, and for pairs of which none gets a negative.
    """
    if not output.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(f"{output}: mined pairs are written as .jsonl or .jsonl.gz; name such a file")
    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; choose another, or replace it with --overwrite")
    parts, mteb_task = source.read(options.offline)
    systems = [_fitted(open_system(model, options), mteb_task) for model in models]
    mined, too_high, known = [], 0, 0
    for pairs in parts:
        collection = PairCollection(pairs)
        found = [_search(collection, system, config) for system in systems]
        too_high += sum(each.too_high for each in found)
        known += sum(each.known for each in found)
        chosen = zip(*(each.found for each in found), strict=True)
        merged = [merge_in_turn(lists, config.negatives) for lists in chosen]
        negatives = [tuple(collection.texts[number] for number in numbers) for numbers in merged]
        mined.append(Pairs(pairs.name, pairs.queries, pairs.positives, negatives))
    rows = [line for pairs in mined for line in _lines(pairs)]
    total = sum(len(texts) for pairs in mined for texts in pairs.negatives or ())
    filtered = f"dropped {too_high} that score too close to the positive, {known} known answers"
    if not total:
        raise InputError(
            f"{mined[0].name}: no pair of {len(rows)} gets a negative ({filtered}); raise --depth"
        )
    write_atomic(output, _packed("".join(rows), output))
    say(f"{mined[0].name}: {len(rows)} pairs, {total / len(rows):.2f} negatives a pair; {filtered}")
    return output


def _fitted(system: Retriever, mteb_task: str | None) -> Retriever:
    """Return `system` prompted for a task of mteb, or none. Raises InputError where it cannot mine."""
    if isinstance(system, RunRetriever | Untuned):
        problem = "a stored run knows no new texts, and tuned weights need a task that is evaluated"
        raise InputError(f"{system.name!r} cannot mine: {problem}; name another model")
    if isinstance(system, Fusion):
        return system.with_retrievers([_fitted(each, mteb_task) for each in system.retrievers])
    for_task = getattr(system, "for_task", None)
    fitted: Retriever = system if for_task is None else for_task(mteb_task)
    return fitted


def _search(collection: PairCollection, system: Retriever, config: MiningConfig) -> Candidates:
    texts = len(collection.texts) + len(collection.queries)
    with progress_bar(f"{system.name} on {collection.pairs.name}", texts) as advance:
        if hasattr(system, "advance"):
            system.advance = advance
        return collection.search(system, config)


def _lines(pairs: Pairs) -> list[str]:
    columns = zip(pairs.queries, pairs.positives, pairs.negatives or (), strict=True)
    keys = ("query", "positive", "negatives")
    return [json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) + "\n" for row in columns]


def _packed(text: str, path: Path) -> bytes:
    # No time in the header: the same pairs give the same bytes.
    return gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode()
