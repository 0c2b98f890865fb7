"""What a repair would do, or did: plain values, the same for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.maintenance.verify.report import Problem


@dataclass(frozen=True, slots=True)
class Mend:
    """Something that is damaged, and what is done about it. ``aside`` is the file that goes to quarantine."""

    what: str
    remedy: str
    aside: str = ""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """``mends`` in their order, and the ``losses`` that stay: for each cause the tensors of commits that it affects.

    With the log damaged, what depends on it can be looked at only when it is mended: the plan is not ``complete``.
    """

    mends: tuple[Mend, ...] = ()
    losses: tuple[Problem, ...] = ()
    complete: bool = True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be done."""
        return not self.mends

    @property
    def ok(self) -> bool:
        """Whether nothing is lost."""
        return self.complete and not self.losses
