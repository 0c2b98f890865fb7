"""Where a run goes on: which commit, what is different now, and never a silent step 0."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from deltackpt.commit.request import free_form
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit, ThinnedError
from deltackpt.history.objects import encode_free_form
from deltackpt.history.provenance import environment
from deltackpt.history.resolve import Expression
from deltackpt.store import Store
from deltackpt.training.misfit import listed
from deltackpt.training.preflight import place

log = logging.getLogger("deltackpt")

AUTO, MUST = "auto", "must"


class NothingToResumeError(NotFoundError):
    """The branch has no commits."""


class UnhealthyError(InvalidInputError):
    """Every commit of the branch holds tensors that are not finite."""


class MisfitError(InvalidInputError):
    """What is stored does not fit what is live; the text names the tensors."""


@dataclass(frozen=True, slots=True)
class Found:
    """The commit to go on from, None to begin at step 0, and what there is to say about the choice."""

    commit: Commit | None
    notes: tuple[str, ...] = ()


def find(store: Store, branch: str, wanted: str, parts: Collection[str]) -> Found:
    """A commit of ``branch``: with ``auto`` and ``must`` the newest that is healthy and holds ``parts``, else a ref."""
    if wanted not in (AUTO, MUST):
        return Found(_whole(store, branch, store.resolve(_on_branch(wanted, branch)), parts))
    line = list(store.log(branch)) if branch in store.branches() else []
    if not line:
        return _nothing(store, branch, wanted)
    chosen = next((commit for commit in line if commit.healthy and not _lost(commit, parts)), None)
    if chosen is None:
        raise UnhealthyError(
            f"no commit of branch {branch!r} in {place(store)} is both healthy and full;"
            " name one with resume(REF) or begin anew on another branch"
        )
    return Found(chosen, tuple(_passed_over(line, chosen, parts)))


def _nothing(store: Store, branch: str, wanted: str) -> Found:
    others = sorted(store.branches())
    beside = f"; there are branches {listed(others)}" if others else ", which is empty"
    if wanted == MUST:
        raise NothingToResumeError(f"branch {branch!r} has no commits in {place(store)}{beside}")
    return Found(None, (f"starting at step 0: no commits on branch {branch!r} in {place(store)}{beside}",))


def _passed_over(line: list[Commit], chosen: Commit, parts: Collection[str]) -> Iterator[str]:
    newer = line[: line.index(chosen)]
    ill = [commit.description for commit in newer if not commit.healthy]
    thin = [commit.description for commit in newer if commit.healthy and _lost(commit, parts)]
    if ill:
        yield f"resuming from {chosen.description}, the last healthy commit: {listed(ill)} hold NaN or infinities"
    if thin:
        yield f"resuming from {chosen.description}, the last full commit: {listed(thin)} were thinned"


def _whole(store: Store, branch: str, commit: Commit, parts: Collection[str]) -> Commit:
    lost = _lost(commit, parts)
    if not lost:
        return commit
    full = [one for one in store.log(branch if branch in store.branches() else commit) if not _lost(one, parts)]
    nearest = min(full, key=lambda one: abs((one.step or 0) - (commit.step or 0)), default=None)
    advice = f"the nearest full commit is {nearest.description}" if nearest else "no commit of its line is full"
    raise ThinnedError(
        f"commit {commit.description} was thinned and lacks {listed(lost)}; {advice};"
        ' resume(..., optimizer="reset") goes on without the optimizer'
    )


def _lost(commit: Commit, parts: Collection[str]) -> list[str]:
    return [part.name for part in commit.thinned if part.name in parts]


def _on_branch(ref: str, branch: str) -> str:
    """``step:100`` and its like look along the run's own branch."""
    expression = Expression.parse(ref)
    return f"{branch}@{ref}" if expression.selects and expression.branch is None else ref


def differences(commit: Commit, config: Any) -> Iterator[str]:
    """What is not as it was when the commit was made: the environment, and the configuration."""
    for what, then, now in (
        ("environment", commit.environment, environment()),
        ("config", commit.config, _plain(config) if config is not None else commit.config),
    ):
        changed = [f"{name} {old!r} -> {new!r}" for name, old, new in _changed(then, now)]
        if changed:
            yield f"{what} is different: {listed(changed)}"


def _changed(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        if then != now:
            yield path or "it", then, now
        return
    for key in {**then, **now}:
        yield from _changed(then.get(key), now.get(key), f"{path}.{key}" if path else str(key))


def _plain(config: Any) -> Any:
    """As it comes back from a commit."""
    return msgspec.msgpack.decode(encode_free_form(free_form(config, "config")), strict=False)
