"""Results on disk: written whole or not at all, read only where they belong."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mixbench.errors import InputError
from mixbench.files import parse_json, read_whole, write_atomic
from mixbench.results.query_scores import QueryScores, encode_query_scores
from mixbench.results.result import METRICS, SCHEMA_VERSION, Result


def save_result(output: Path, result: Result, query_scores: QueryScores, run: str | None) -> Path:
    """Write a result below `output`, after its run and query scores; each file whole or not at all.

    Returns the path of the result's file.
    """
    path = output / result.place
    if run is not None:
        write_atomic(run_path(path), run)
    write_packed(query_scores_path(path), encode_query_scores(query_scores))
    write_atomic(path, json.dumps(result.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return path


def run_path(path: Path) -> Path:
    """Return the path of the TREC run that belongs to the result in `path`."""
    return path.parent / "runs" / (path.name.removesuffix(".json") + ".trec")


def find_results(folder: Path) -> list[Result]:
    """Return every result below `folder` (an output folder, or one benchmark's), in the order of their paths.

    Raises InputError naming a file that is no result or lies elsewhere than its content says, and both files
    where two have the same place.
    """
    paths = result_paths(folder)
    check_places(paths)
    return [read_result(path) for path in paths]


def check_places(paths: Iterable[Path]) -> None:
    """Raise InputError, naming both, where two result files are of the same model, revision and task."""
    seen: dict[tuple[str, ...], Path] = {}
    for path in paths:
        other = seen.setdefault(path.resolve().parts[-4:], path)
        if other != path:
            raise InputError.at(path, None, f"the same model, revision and task as {other}; remove one")


def result_paths(folder: Path) -> list[Path]:
    """Return the paths of all result files below `folder`, sorted; folders called evidence hold none."""
    paths = (path for path in folder.rglob("*.json") if not path.name.startswith("."))
    return sorted(path for path in paths if "evidence" not in path.relative_to(folder).parts)


def read_result(path: Path) -> Result:
    """Read one result.

    Raises InputError naming the file: no JSON, of another schema, or not where it belongs.
    """
    fields = read_json(path, _read_bytes(path))
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if version != SCHEMA_VERSION:
        problem = (
            f"schema_version is {version!r}, not {SCHEMA_VERSION}: no result of this mixbench; evaluate again"
        )
        raise InputError.at(path, None, problem)
    try:
        result = Result.model_validate(fields)
        place = result.place
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise InputError.at(path, None, f"not a result: {key}: {first['msg']}; evaluate again") from error
    except (ValueError, InputError) as error:
        raise InputError.at(path, None, f"not a result: {error}") from error
    if path.resolve().parts[-4:] != place.parts:
        raise InputError.at(
            path, None, f"holds the result that belongs in {place}; put it there or remove it"
        )
    return result


def read_query_scores(path: Path, result: Result) -> QueryScores:
    """Read the query scores of the `result` in `path`.

    Raises InputError where they are missing, damaged, or not those that the result was made from.
    """
    beside = query_scores_path(path)
    text = read_packed(beside)
    if hashlib.sha256(text).hexdigest() != result.queries_sha256:
        raise InputError.at(
            beside, None, "not the query scores that its result was made from; evaluate again"
        )
    columns = read_json(beside, text)
    try:
        query_ids = columns["query_ids"]
        query_scores = {metric: dict(zip(query_ids, columns[metric], strict=True)) for metric in METRICS}
        wrong = _no_score(query_scores)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError.at(beside, None, "not query scores; evaluate again") from error
    if wrong is not None or len(set(query_ids)) < len(query_ids):
        problem = wrong or "a query stands there twice"
        raise InputError.at(beside, None, f"{problem}; evaluate again with --overwrite")
    return query_scores


def _no_score(query_scores: QueryScores) -> str | None:
    for metric, scores in query_scores.items():
        for query_id, score in scores.items():
            if not 0 <= score <= 1:  # NaN too
                return f"{metric} of query {query_id!r:.80} is {score!r}, no score from 0 to 1"
    return None


def query_scores_path(path: Path) -> Path:
    """Return the path of the query scores that belong to the result in `path`."""
    return path.with_name(path.name.removesuffix(".json") + ".queries.json.gz")


def write_packed(path: Path, text: str) -> None:
    """Write `text` compressed, without a time of day: the same text gives the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
        stream.write(text.encode())
    write_atomic(path, packed.getvalue())


def read_packed(path: Path) -> bytes:
    """Return the content of a compressed file. Raises InputError where it is missing or damaged."""
    return _read_bytes(path)


def _read_bytes(path: Path) -> bytes:
    try:
        return read_whole(path)
    except InputError as error:
        raise InputError(f"{error}; evaluate again") from error


def read_json(path: Path, content: bytes) -> Any:
    """Return what the JSON of the file `path` holds. Raises InputError naming the file and the line."""
    try:
        return parse_json(content)
    except json.JSONDecodeError as error:
        raise InputError.at(path, error.lineno, f"not JSON: {error.msg}; evaluate again") from error
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, f"not UTF-8 at byte {error.start}; evaluate again") from error
    except ValueError as error:
        raise InputError.at(path, None, f"JSON that cannot be used: {error}; evaluate again") from error
