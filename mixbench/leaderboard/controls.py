"""Controls on a board: whether models that lack a part are worse than the best that has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixbench.leaderboard.contenders import Contender
from mixbench.leaderboard.samples import Sample
from mixbench.leaderboard.standings import ALPHA, Gap, gaps_from


@dataclass(frozen=True, kw_only=True)
class ControlCheck:
    """A control against the best model of the architecture that it is a control of.

    `best` and `gap` (the control minus the best) are None where either lacks a task of the board.
    """

    control: Contender
    architecture: str
    best: Contender | None
    gap: Gap | None
    """p values by Holm over the controls of the architecture."""

    @property
    def worse(self) -> bool:
        """Whether the control is significantly worse, as it should be."""
        return self.gap is not None and self.gap.difference < 0 and self.separable

    @property
    def better(self) -> bool:
        """Whether the control is significantly better."""
        return self.gap is not None and self.gap.difference > 0 and self.separable

    @property
    def separable(self) -> bool:
        """Whether the difference is significant, in whichever direction."""
        return self.gap is not None and self.gap.p_randomisation < ALPHA


def check_controls(
    contenders: Sequence[Contender], complete: Sequence[Contender], whole: Sample | None
) -> list[ControlCheck]:
    """Return a check for each contender that its results record as a control, by architecture.

    `whole` is the sample of the means of those that are `complete`.
    """
    checks = []
    for architecture in sorted({each.control_of for each in contenders if each.control_of}):
        controls = [each for each in contenders if each.control_of == architecture]
        best = _best(architecture, complete, whole)
        tested = [each for each in controls if each in complete] if best is not None else []
        gaps: dict[Contender, Gap] = {}
        if whole is not None and best is not None:
            places = [complete.index(each) for each in tested]
            gaps = dict(zip(tested, gaps_from(whole, complete.index(best), places), strict=True))
        checks += [
            ControlCheck(
                control=each,
                architecture=architecture,
                best=best if each in gaps else None,
                gap=gaps.get(each),
            )
            for each in controls
        ]
    return checks


def _best(architecture: str, complete: Sequence[Contender], whole: Sample | None) -> Contender | None:
    of_kind = [
        place
        for place, each in enumerate(complete)
        if each.architecture == architecture and each.control_of is None
    ]
    if whole is None or not of_kind:
        return None
    return complete[max(of_kind, key=lambda place: whole.means[place])]
