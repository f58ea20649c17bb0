"""Which of torch's attention kernels run where batches have many shapes."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import cuda


@contextmanager
def attention_of_any_shape() -> Iterator[None]:
    """Leave out cuDNN's attention: it plans anew for each shape, which the host waits for.

    torch takes it first on a GPU of compute capability 9.0. The other kernels need no plan.
    """
    before = cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        cuda.enable_cudnn_sdp(before)
