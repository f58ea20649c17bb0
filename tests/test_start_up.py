"""Opening a model makes no garbage collection necessary, and leaves the collector as it was."""

import gc

from mixbench.experiments.start_up import loading
from mixbench.experiments.systems import EncoderOptions, open_system


def test_garbage_is_collected_again_after_a_model_was_opened() -> None:
    open_system("bm25", EncoderOptions())
    assert gc.isenabled()
    gc.disable()
    try:
        with loading():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
