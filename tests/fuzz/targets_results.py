"""Targets: results and what lies beside them, results of mteb, runs of commands and evidence."""

import gzip
import hashlib
import json
import zlib
from pathlib import Path

from mteb.models import ModelMeta

from mixbench.experiments.claims.figures import read_figure
from mixbench.experiments.lineage import read_training
from mixbench.experiments.recipes import read_recipes
from mixbench.experiments.run_list import missing_of
from mixbench.interop.mteb.results import read_task_scores, register_models
from mixbench.results import find_results, read_clusters, read_query_scores, read_result

from .target import File, Target

ROOT = Path(__file__).parents[2]
DEEP = b"[" * 3000
STORED = next((ROOT / "leaderboards" / "quickstart" / "bm25").glob("*/stdlib-code.json"))
RECIPES = b"""[values]
batches = "--batch-size 1024"
arm = "{batches} --max-steps 400"
[runs.one]
commands = ["train-retriever small {arm} --pairs {pairs} -o {work}/one"]
proof = ["one/mixbench.json"]
minutes = 3
[runs.two]
commands = ["eval -m {work}/one"]
needs = ["one"]
slots = 2
proof = ["two.json"]
[runs.two.picks]
"""
MTEB = json.dumps(
    {
        "dataset_revision": "1", "task_name": "SciFact", "mteb_version": "2.0.0", "evaluation_time": 1.0,
        "kg_co2_emissions": None,
        "scores": {
            "test": [{"main_score": 0.5, "hf_subset": "default", "languages": ["eng-Latn"]}],
        },
    }
).encode()  # fmt: skip
EVIDENCE = b"""{"pools": [{"n": 32, "exact": {"mean": 0.5, "low": 0.4, "high": 0.6}}], "samples": [1.0, 2.0],
 "ranks": "1 2 3", "documents": 40,
 "validation_curve": [{"seconds": 1, "loss": 2}, {"seconds": 2, "loss": 1}]}"""


def _place() -> str:
    return "/".join(STORED.parts[-4:])


def result() -> Target:
    """A result."""
    seeds = [STORED.read_bytes(), DEEP, b'{"schema_version": 1}']
    return Target(read=find_results, files=[File(name=_place(), seeds=seeds)])


def query_scores() -> Target:
    """The query scores of a result, which names them by their hash, and the clusters of its queries."""
    ids = ["a", "b"]
    result = read_result(STORED)
    columns = {"query_ids": ids, **{name: [0.5, 1.0] for name in type(result.scores).model_fields}}
    clusters = {"task": "zoo/tiny", "data_sha256": "0" * 64, "clusters": [0, 0]}

    def read(folder: Path) -> object:
        path = folder / "x.queries.json.gz"
        read_clusters(folder, "zoo/tiny", "0" * 64, ids)
        if not path.exists():
            return None
        try:
            digest = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        except (OSError, EOFError, zlib.error):
            digest = ""
        return read_query_scores(folder / "x.json", result.model_copy(update={"queries_sha256": digest}))

    files = [
        File(name=name, seeds=[json.dumps(stated).encode(), DEEP], pack="gz")
        for name, stated in (
            ("x.queries.json.gz", columns),
            (f"tiny.{'0' * 12}.clusters.json.gz", clusters),
        )
    ]
    files.append(File(name="x.queries.json.gz", seeds=[gzip.compress(json.dumps(columns).encode(), mtime=0)]))
    return Target(read=read, files=files)


def mteb_result() -> Target:
    """A result of mteb, and a model's description in a tree of them."""

    def read(folder: Path) -> object:
        if (folder / "r.json").exists():
            return read_task_scores(folder / "r.json")
        return register_models(folder)

    stated = {"name": "zoo/ant", "revision": "1", "languages": None, "framework": []}
    meta = ModelMeta.create_empty(overwrites=stated).model_dump_json()
    tree = "results/zoo__ant/1/model_meta.json"
    return Target(
        read=read,
        files=[
            File(name="r.json", seeds=[MTEB, DEEP]),
            File(name=tree, seeds=[meta.encode(), DEEP]),
        ],
    )


def recipes() -> Target:
    """A file of runs."""

    def read(folder: Path) -> object:
        return missing_of(read_recipes(folder / "r.toml", {}), folder)

    return Target(read=read, files=[File(name="r.toml", seeds=[RECIPES, b"a=" + DEEP])])


def evidence() -> Target:
    """Evidence of claims, and the record of a run and of a trained model."""
    record = {"commands": [["eval"]], "name": "one"}
    trained = {"training_sources": ["a"], "command": "mixbench train-retriever"}

    def read(folder: Path) -> object:
        list_of_runs = read_recipes(folder / "r.toml", {})
        references = ("e.json#pools[n=32].exact", "e.json#samples", "e.json^3", "e.json@e.json")
        missing_of(list_of_runs, folder)
        read_training(folder)
        return [read_figure(folder, reference) for reference in references]

    return Target(
        read=read,
        beside={"e.json": EVIDENCE, "r.toml": RECIPES},
        files=[
            File(name="e.json", seeds=[EVIDENCE, DEEP]),
            File(name="runs/one.json", seeds=[json.dumps(record).encode(), DEEP]),
            File(name="mixbench.json", seeds=[json.dumps(trained).encode(), DEEP]),
        ],
    )
