"""Which tensors fell ill with a commit, and whether it is healthy.

NaN is an illness, and so is a +inf that was not there before. A tensor that is born with +inf is normal (range
observers are), and so is -inf (masks are full of it). An illness lasts until the tensor is finite again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltackpt.history.commits import Commit, History
from deltackpt.history.repository import Repository
from deltackpt.tensor.finite import Finiteness

MAX_NAMES = 1000

Found = Mapping[str, Finiteness]
"""The worst value of each tensor, by name."""


@dataclass(frozen=True, slots=True)
class Health:
    """``fallen`` are the tensors that are worse than in the parent, the first ``MAX_NAMES`` of them."""

    fallen: tuple[str, ...]
    healthy: bool


def diagnose(repository: Repository, parent: Commit | None, before: Found, now: Found) -> Health:
    """The health of a commit with tensors ``now`` on top of ``parent``, which has those of ``before``."""
    fallen = tuple(name for name, state in now.items() if state > before.get(name, Finiteness.INFINITE))
    if fallen or parent is None or parent.healthy:
        return Health(fallen[:MAX_NAMES], not fallen)
    if Finiteness.NAN in now.values():
        return Health((), False)
    suspects = {name for name, state in now.items() if state is Finiteness.INFINITE}
    if not suspects:
        return Health((), True)
    return Health((), not repository.look(lambda history: _fell_ill(history, parent, suspects)))


def _fell_ill(history: History, parent: Commit, suspects: set[str]) -> bool:
    """Whether one of these tensors, which are not finite, was when the illness of the line began."""
    for commit in history.line(parent.id):
        if commit.healthy:
            return False
        if len(commit.nonfinite) >= MAX_NAMES or not suspects.isdisjoint(commit.nonfinite):
            return True
    return False
