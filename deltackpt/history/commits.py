"""Commits as people see them, and walks along their parents."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from deltackpt.chunkstore.rows import CommitRow
from deltackpt.chunkstore.view import View
from deltackpt.errors import NotFoundError
from deltackpt.history.objects import CommitObject, PartEntry, decode
from deltackpt.history.roles import holds
from deltackpt.ids import CommitId

ObjectLoader = Callable[[bytes], bytes]

NOTHING_DELETED: Mapping[str | None, bool] = {}
NOTHING_ANNOTATED: Mapping[str, float] = {}


class ThinnedError(NotFoundError):
    """A part that was deleted on purpose, to save room."""


class DeletedError(NotFoundError):
    """A commit that was deleted on purpose."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One checkpoint in history. ``metrics`` are those it was made with and those that were found later.

    ``logical_bytes`` are the plain bytes of its tensors; ``stored_bytes`` is what storing it added to the store;
    ``nonfinite`` names tensors that hold NaN or +inf and did not in the parent; ``healthy`` is False while any
    tensor that was once finite is not. ``thinned`` are parts that were deleted to save room; ``parts`` are the others.
    """

    id: CommitId
    branch: str
    step: int | None
    metrics: dict[str, float]
    message: str
    parents: tuple[CommitId, ...]
    time: datetime.datetime
    parts: tuple[PartEntry, ...]
    thinned: tuple[PartEntry, ...]
    logical_bytes: int
    stored_bytes: int
    healthy: bool
    nonfinite: tuple[str, ...]
    _object: CommitObject = field(repr=False)
    _load: ObjectLoader = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process has no store to ask, so it takes along what would be asked for.
        beside = (self._object.environment, self._object.config, self._object.meta)
        kept = {identity: self._load(identity) for identity in beside if identity}
        told = [getattr(self, each.name) for each in fields(self) if each.name != "_load"]
        return Commit, (*told, kept.__getitem__)

    @property
    def holds(self) -> str:
        """``full`` (a model and an optimizer), ``weights-only`` (no optimizer), or ``partial`` (no model)."""
        return holds(self.parts)

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, host and the training code's git commit at the time."""
        return dict(self._free_form(self._object.environment))

    @property
    def config(self) -> Any:
        """The run's configuration as it was given, or an empty dict."""
        return self._free_form(self._object.config)

    @property
    def meta(self) -> Any:
        """Whatever the caller wanted to keep beside, or an empty dict."""
        return self._free_form(self._object.meta)

    @property
    def kept_beside(self) -> dict[str, bytes]:
        """Ids of the objects that hold the environment, the config and the meta, as far as there are any."""
        named = {"environment": self._object.environment, "config": self._object.config, "meta": self._object.meta}
        return {name: identity for name, identity in named.items() if identity}

    @property
    def description(self) -> str:
        """``a1b2c3d4e5f6 (step 1000)``, for messages."""
        return self.id.short if self.step is None else f"{self.id.short} (step {self.step})"

    def part_named(self, name: str) -> PartEntry:
        """The part's entry; ThinnedError when it was deleted, NotFoundError lists the parts there are."""
        for part in self.parts:
            if part.name == name:
                return part
        if any(part.name == name for part in self.thinned):
            raise ThinnedError(
                f"part {name!r} of commit {self.description} was thinned;"
                f" `deltackpt undelete {self.id.short}` brings it back until gc, or take a commit that is still full"
            )
        known = ", ".join(repr(part.name) for part in self.parts if part.name) or "none"
        raise NotFoundError(f"commit {self.description} has no part {name!r}; it has {known}")

    def _free_form(self, identity: bytes) -> Any:
        return msgspec.msgpack.decode(self._load(identity), strict=False) if identity else {}


def commit_from_row(
    commit: CommitId,
    row: CommitRow,
    load: ObjectLoader,
    deleted: Mapping[str | None, bool] = NOTHING_DELETED,
    annotations: Mapping[str, float] = NOTHING_ANNOTATED,
) -> Commit:
    """``deleted`` are the parts of the commit that were deleted, ``annotations`` its later metrics, as View tells."""
    stored = decode(row.data, CommitObject)
    parts = tuple(part for part in stored.parts if part.name not in deleted)
    return Commit(
        id=commit,
        branch=stored.branch,
        step=stored.step,
        metrics={**stored.metrics, **annotations},
        message=stored.message,
        parents=tuple(CommitId(parent) for parent in stored.parents),
        time=datetime.datetime.fromtimestamp(stored.time_ns / 1e9, datetime.UTC),
        parts=parts,
        thinned=tuple(part for part in stored.parts if part.name in deleted),
        logical_bytes=sum(part.nbytes for part in parts),
        stored_bytes=row.stored_bytes,
        healthy=stored.healthy,
        nonfinite=stored.nonfinite,
        _object=stored,
        _load=load,
    )


@dataclass(frozen=True, slots=True)
class History:
    """Commits and refs within one look at the index."""

    view: View
    load: ObjectLoader

    def commit(self, commit: CommitId) -> Commit:
        """NotFoundError when the store does not have it (any more); DeletedError when it was deleted."""
        row = self.view.commit(commit)
        if row is None:
            self.view.require_whole()
            raise NotFoundError(f"commit {commit.short} is not in the store")
        deleted = self.view.deleted(commit)
        if None in deleted:
            raise DeletedError(
                f"commit {commit.short} was deleted"
                + (
                    " and its contents are gone"
                    if deleted[None]
                    else f"; bring it back with `deltackpt undelete {commit.short}`"
                )
            )
        return self._seen(commit, row, deleted)

    def line(self, start: CommitId) -> Iterator[Commit]:
        """``start`` and its first parents, newest first, without those deleted; ends where a parent was dropped."""
        current: CommitId | None = start
        while current is not None:
            row, deleted = self.view.commit(current), self.view.deleted(current)
            if row is None:
                if not deleted:
                    self.view.require_whole()
                return
            commit = self._seen(current, row, deleted)
            if None not in deleted:
                yield commit
            current = commit.parents[0] if commit.parents else None

    def everything(self) -> Iterator[Commit]:
        """Every commit that was not deleted, in the order of publishing."""
        for identity in self.view.order():
            row = self.view.commit(identity)
            deleted = self.view.deleted(identity)
            if row is not None and None not in deleted:
                yield self._seen(identity, row, deleted)

    def _seen(self, commit: CommitId, row: CommitRow, deleted: Mapping[str | None, bool]) -> Commit:
        return commit_from_row(commit, row, self.load, deleted, self.view.annotations(commit))

    def number(self, commit: CommitId) -> int:
        """The log record that published the commit: the order of history, whatever clocks said."""
        row = self.view.commit(commit)
        return row.number if row is not None else 0
