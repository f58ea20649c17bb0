"""Which of torch's attention kernels run where batches have many shapes."""

from contextlib import AbstractContextManager

from torch.nn.attention import SDPBackend, sdpa_kernel


def attention_of_any_shape() -> AbstractContextManager[None]:
    """Leave out cuDNN's attention: it plans anew for each shape, which the host waits for.

    torch takes it first on a GPU of compute capability 9.0. The kernels that are left need no plan.
    """
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
