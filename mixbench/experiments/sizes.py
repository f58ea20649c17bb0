"""`python -m mixbench.experiments.sizes leaderboards=12 tracked=24`: limits in MB on what git tracks."""

import subprocess
import sys
from pathlib import Path


def tracked_megabytes(prefix: str = "") -> float:
    """Return the size of the tracked files below `prefix`, in millions of bytes."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", prefix or "."], capture_output=True, check=True)
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main(limits: list[str]) -> int:
    """Print each size and return 3 if one is over its limit."""
    status = 0
    for limit in limits:
        name, _, most = limit.partition("=")
        size = tracked_megabytes("" if name == "tracked" else name)
        verdict = "within" if size <= float(most) else "over"
        sys.stdout.write(f"{name}: {size:.1f} MB, {verdict} the limit of {most} MB\n")
        status = max(status, 0 if size <= float(most) else 3)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
