"""Loading libraries without Python's search for garbage.

Importing sentence-transformers makes a million objects that stay until the end. The collector would go
through them some hundred times meanwhile, and once more when the program ends: two seconds of six.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HEAVY = "sentence_transformers"


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage meanwhile; what is there when the heavy libraries are is never looked through."""
    enabled, loaded = gc.isenabled(), HEAVY in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if HEAVY in sys.modules and not loaded:
            gc.freeze()
        if enabled:
            gc.enable()
