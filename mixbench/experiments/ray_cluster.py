"""Ray: starting it on this machine or finding a cluster, and what workers it has room for.

On this machine all of Ray listens on loopback alone, and asks nobody anything: reporting of usage is off, and
so is the process of Ray's dashboard, which looks for a cloud even then.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

from mixbench.errors import MixbenchError

LOCAL = "local"
CPUS_OF_A_WORKER = 8
"""At most: on processors a worker encodes by so many threads, on GPUs each has one GPU."""


SECONDS = 5
"""How long a cluster may take to accept a connection."""


def check_ray(address: str | None) -> None:
    """Raise MixbenchError where Ray is not installed, or nothing listens at `address`, if it is HOST:PORT.

    Ray itself would try that for minutes. Of None nothing is asked.
    """
    if address is None:
        return
    if find_spec("ray") is None:
        raise MixbenchError("--ray needs a package: pip install 'mixbench[ray]'")
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, error) from None


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Have Ray meanwhile: of "local" one of our own, else the cluster at `address`, HOST:PORT or "auto".

    Raises MixbenchError in one line where that fails.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on any system; read when ray is imported
    import ray

    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        settings |= {"include_dashboard": False}
        without_dashboard()
    try:
        ray.init(address=address, **settings)
    except Exception as error:  # Ray has no class for it: ConnectionError, RuntimeError, ValueError, ...
        raise _unreachable(address, error) from None
    try:
        with redirect_stdout(sys.stderr):  # where Ray prints what befalls the cluster
            yield
    finally:
        ray.shutdown()


def worker_shares(device: str) -> tuple[int, Mapping[str, int]]:
    """Return how many workers the cluster has room for, and what each takes: a GPU, or some processor cores.

    Raises MixbenchError where it has no GPU for the device "cuda".
    """
    import ray

    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    kind, share = "CPU", 1
    if device.startswith("cuda"):
        kind = "GPU"
    else:
        share = int(min([CPUS_OF_A_WORKER, *(each["CPU"] for each in resources if each.get("CPU", 0) >= 1)]))
    workers = sum(int(each.get(kind, 0)) // share for each in resources)
    if not workers:
        raise MixbenchError(f"the Ray cluster has no {kind} for a worker; take another --device or cluster")
    return workers, {"num_gpus": 1} if kind == "GPU" else {"num_cpus": share}


def _unreachable(address: str, error: Exception) -> MixbenchError:
    advice = "see the logs of Ray" if address == LOCAL else "start it by `ray start`, on this machine too"
    return MixbenchError(f"no Ray cluster at {address!r} ({one_line(error)}); {advice}")


def one_line(error: BaseException) -> str:
    """Return what an error of Ray says, or was caused by, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def without_dashboard() -> None:
    """Let Ray start without its dashboard's process."""
    from ray._private import services

    if hasattr(services, "start_api_server"):
        services.start_api_server = lambda *arguments, **settings: ("", None)
