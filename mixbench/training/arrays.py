"""Arrays on disk: read without pickles, and refused in one line where they are damaged."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixbench.errors import CheckpointError


def read_array(path: Path, advice: str, mmap_mode: Literal["r", "c"] | None = None) -> NDArray[Any]:
    """Return the array in a .npy file, mapped into memory where a mode is given.

    Raises CheckpointError, which ends with `advice`, for a file that is missing, damaged or pickled.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("an archive of arrays")
    except Exception as error:  # numpy reads the header as Python, and raises whatever that does
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: damaged ({reason}); {advice}") from error
    return found
