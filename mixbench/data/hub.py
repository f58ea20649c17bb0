"""The Hugging Face hub, through mteb: asked whether it answers before anything slow is imported."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from mixbench.data.retrieval_data import Document, RetrievalData

PROBE_SECONDS = 3.5
"""How long the hub has to answer; with what surrounds it, "no hub" is said within 5 seconds."""

ANSWER_SECONDS = 60.0
ANSWERS: dict[str, tuple[float, str]] = {}
"""When each endpoint was asked, and what is wrong with it: one wait serves every task of a command."""


def why_no_hub(mteb_names: Iterable[str], *, offline: bool = False) -> str:
    """Return why `mteb_names` cannot be read from the hub now, in a few words; empty where they can.

    With HF_HUB_OFFLINE=1 the hub's own libraries promise to open no connection and use their cache, which
    then counts as the hub. `offline` alone cannot get that promise from them: then there is no hub.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return "" if _has_cached(mteb_names) else "offline, and not in the Hugging Face cache"
    if offline:
        return "offline; HF_HUB_OFFLINE=1 would allow the Hugging Face cache"
    endpoint = hub_endpoint()
    asked, problem = ANSWERS.get(endpoint, (-ANSWER_SECONDS, ""))
    if time.monotonic() - asked >= ANSWER_SECONDS:
        problem = _probe(endpoint)
        ANSWERS[endpoint] = time.monotonic(), problem
    return problem


def stay_offline() -> None:
    """Let the hub's libraries open no socket from now on, also where they have been loaded before."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is first imported
    if (constants := sys.modules.get("huggingface_hub.constants")) is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]  # and looked up in each request
    if "urllib3" not in sys.modules:
        # When first imported, as by mteb, it binds a socket to see whether there is IPv6.
        there_is, socket.has_ipv6 = socket.has_ipv6, False
        try:
            import_module("urllib3.util.connection")
        finally:
            socket.has_ipv6 = there_is


def hub_endpoint() -> str:
    """Return the address of the hub: $HF_ENDPOINT or the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def shown_endpoint() -> str:
    """Return the address of the hub without the user and password that may stand in it."""
    scheme, mark, rest = hub_endpoint().rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


def read_hub(mteb_name: str, hub_split: str, *, split: str, part: str = "") -> RetrievalData:
    """Return one split of an mteb task at mteb's revision; `hub_split` is mteb's name for `split`.

    Raises MissingData where the hub does not give it.
    """
    from mixbench.interop.mteb.data import load_retrieval  # mteb takes seconds to import

    corpus, queries, qrels = load_retrieval(mteb_name, hub_split)
    documents = [Document(*fields) for fields in corpus]
    return RetrievalData(corpus=documents, queries=queries, qrels=qrels, split=split, source="hub", part=part)


def judged_splits(mteb_name: str) -> list[str]:
    """Return the names of the splits that the hub has judgments of. Raises MissingData as `read_hub`."""
    from mixbench.interop.mteb import data

    return data.judged_splits(mteb_name)


def _probe(endpoint: str) -> str:
    """Return "" if anything answers at `endpoint`, else what is wrong."""
    import requests

    problems = [f"{shown_endpoint()} did not answer in {PROBE_SECONDS} s"]

    def ask() -> None:
        try:
            requests.head(endpoint, timeout=PROBE_SECONDS)
            problems.clear()
        except requests.Timeout:
            pass
        except requests.RequestException as error:
            problems[:] = [f"no connection to {shown_endpoint()} ({type(error).__name__})"]

    # Looking up a name can hang for longer than any time-out given to requests; a thread can be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return problems[0] if problems else ""


def _has_cached(mteb_names: Iterable[str]) -> bool:
    hub = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(hub, "datasets")).expanduser()
    if not cache.is_dir():
        return False  # known without importing mteb
    from mixbench.interop.mteb.data import is_cached

    return all(is_cached(name, cache) for name in mteb_names)
