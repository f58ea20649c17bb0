"""The two forms of inversion: how a gradient looks for the embeddings that gave certain states.

Shapes: B texts, T tokens, d width. The unknown is a_BTd = unit b_BTd, where b starts from N(0, 1).

`PaperForm` has the settings of the code of arXiv 2409.01482. They suit embeddings of standard deviation 1,
as a mixer starts with, and not 0.02, as a transformer does: there the start is 50 deviations away and the
last steps are longer than the embeddings. `FairForm` measures all lengths in standard deviations of the
model's own embeddings, so that no architecture is helped or hurt by the scale that it was given.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from mixbench.errors import InputError


class Form(Protocol):
    """What distinguishes the forms; frozen, its fields are settings."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def noise(self) -> float:
        """Deviation of the noise beside which the loss is judged, in units."""
        ...

    @property
    def noisy_reference(self) -> bool:
        """Whether the tokens to be found are decoded from noisy embeddings, in place of the true ones."""
        ...

    def unit(self, deviation: float) -> float:
        """Return the unit of length, for embeddings of a standard deviation."""
        ...

    def optimiser(self, b_BTd: Tensor) -> torch.optim.Optimizer: ...

    def losses(self, states_BTd: Tensor, target_BTd: Tensor) -> Tensor:
        """Return the loss (B,) of each text."""
        ...


@dataclass(frozen=True, kw_only=True)
class PaperForm:
    """As the original: plain gradient steps on the summed L1 distance, in absolute lengths."""

    name: ClassVar[str] = "paper"
    noisy_reference: ClassVar[bool] = True
    steps: int = 500
    rate: float = 0.02
    noise: float = 0.05

    def __post_init__(self) -> None:
        _check(self)

    def unit(self, deviation: float) -> float:
        return 1.0

    def optimiser(self, b_BTd: Tensor) -> torch.optim.Optimizer:
        return torch.optim.SGD([b_BTd])

    def losses(self, states_BTd: Tensor, target_BTd: Tensor) -> Tensor:
        return (states_BTd - target_BTd).abs().sum((1, 2))


@dataclass(frozen=True, kw_only=True)
class FairForm:
    """Adam on the mean L1 distance over the mean size of the states, in deviations of the embeddings.

    Neither the scale of the embeddings nor that of the states or their number changes a step.
    """

    name: ClassVar[str] = "fair"
    noisy_reference: ClassVar[bool] = False
    steps: int = 500
    rate: float = 0.1
    noise: float = 0.05

    def __post_init__(self) -> None:
        _check(self)

    def unit(self, deviation: float) -> float:
        return deviation

    def optimiser(self, b_BTd: Tensor) -> torch.optim.Optimizer:
        return torch.optim.Adam([b_BTd])

    def losses(self, states_BTd: Tensor, target_BTd: Tensor) -> Tensor:
        return (states_BTd - target_BTd).abs().mean((1, 2)) / target_BTd.abs().mean((1, 2))


FORMS: dict[str, type[PaperForm] | type[FairForm]] = {"paper": PaperForm, "fair": FairForm}


def rate_of(form: Form, step: int) -> float:
    """Return the rate of step `step`, from 0: it falls along a line to about a tenth of the form's."""
    share = step / form.steps
    return form.rate * (1 - share) + form.rate / 10 * share


def _check(form: Form) -> None:
    if form.steps < 1:
        raise InputError(f"steps must be at least 1, not {form.steps!r}")
    if not 0 < form.rate < float("inf"):
        raise InputError(f"rate must be above 0, not {form.rate!r}")
    if not 0 <= form.noise < float("inf"):
        raise InputError(f"noise must be at least 0, not {form.noise!r}")
