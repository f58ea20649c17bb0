"""The card of an exported model: how to load it and, from its record alone, what it was trained on."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixbench.results import Provenance

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NEEDED = ("sentence-transformers", "transformers", "torch")


def published_card(
    name: str, model: "SentenceTransformer", record: Mapping[str, Any], made: Provenance
) -> str:
    """Return README.md of the exported `model`, in the form that the hub reads.

    Args:
        name: of the folder that the card lies in.
        record: mixbench.json of the model, empty where there is none.
        made: what the model is exported with.
    """
    from mixbench.models.mixer import MaskedMixer

    is_mixer = any(isinstance(module, MaskedMixer) for module in model)
    licence = record.get("licence", "")
    front = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", *(["masked-mixer"] if is_mixer else [])],
    }
    if licence:
        front["license"] = licence.lower()
    head = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items())
    sections = [
        f"---\n{head}---\n\n# {name}\n",
        f"A text embedder{', a masked mixer (arXiv 2409.01482)' if is_mixer else ''}. {_shape(model)}\n",
        "## Use\n\n" + _use(name, is_mixer, made),
        "## Training\n\n" + (_training(record) if record else "No record of its training came with it.\n"),
        f"## Licence\n\n{_licences(licence, is_mixer)}\n",
    ]
    return "\n".join(sections)


def _shape(model: "SentenceTransformer") -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    length = model.max_seq_length
    reads = f"at most {length} tokens of a text" if isinstance(length, int) else "the whole of a text"
    return (
        f"It has {parameters:,} parameters, reads {reads} and gives "
        f"embeddings of dimension {model.get_embedding_dimension()}, compared by {model.similarity_fn_name}."
    )


def _use(name: str, is_mixer: bool, made: Provenance) -> str:
    trust = ", trust_remote_code=True" if is_mixer else ""
    code = (
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        f"model = SentenceTransformer({json.dumps(name)}{trust})\n"
        'queries = model.encode_query(["What lifts a wing?"])\n'
        'documents = model.encode_document(["The lift of a wing in flight.", "Baking bread."])\n'
        "print(model.similarity(queries, documents))\n```\n"
    )
    versions = ", ".join(f"{package} {made.packages[package]}" for package in NEEDED)
    return (
        f"{code}\nThe name is the path of this folder, or its name on the hub."
        + (
            " `trust_remote_code=True` runs the code in `masked_mixer.py`, which needs nothing but"
            " sentence-transformers and what that brings. mixbench opens the folder without running it."
            if is_mixer
            else ""
        )
        + f" It was exported with Python {made.python}, {versions}.\n"
    )


def _training(record: Mapping[str, Any]) -> str:
    sources = ", ".join(record["training_sources"])
    parts = [
        f"Trained with mixbench from `{record['base']}`." if record.get("base") else "",
        f"By itself or through what it started from it has seen: {sources or 'nothing'}.",
        _dev_score(record),
    ]
    sections = [" ".join(part for part in parts if part) + "\n"]
    if record.get("notes"):
        sections.append(f"{record['notes']}\n")
    if record.get("sources"):
        rows = ["| source | pairs | weight | licence |", "|---|--:|--:|---|"]
        for source in record["sources"]:
            cells = (str(source.get(key, "")) for key in ("name", "pairs", "weight", "licence"))
            rows.append(f"| {' | '.join(cells)} |")
        sections.append("\n".join(rows) + "\n")
    if record.get("command"):
        sections.append(f"    {record['command']}\n")
    sections.append("Settings, versions, hashes of the data and the curve are in `mixbench.json`.\n")
    return "\n".join(sections)


def _dev_score(record: Mapping[str, Any]) -> str:
    """Return what the record says of its own dev pairs: the only score that a record holds."""
    scores = dict(record.get("dev_ndcg_at_10", []))
    if not record.get("dev") or record.get("best_step") not in scores:
        return ""
    return (
        f"Its weights are those of step {record['best_step']}, the best on pairs held out of its sources: "
        f"nDCG@10 {scores[record['best_step']]:.4f} there, which is not the score of a benchmark."
    )


def _licences(licence: str, is_mixer: bool) -> str:
    weights = f"Weights: {licence}." if licence else "No licence of the weights was recorded."
    return weights + (" Code in `masked_mixer.py`: Apache-2.0." if is_mixer else "")
