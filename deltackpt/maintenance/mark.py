"""Which commits and chunks are reachable from the refs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Self, TypeVar

import msgspec

from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import CommitObject, Group, Part, decode
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.holdings import Holdings
from deltackpt.maintenance.survey import Survey, SurveyError

Deleted = tuple[CommitId, str | None]
# Parts, or groups of theirs, each with a commit and the name of the part that it is needed for.
_Owners = dict[ChunkId, tuple[CommitId, str]]
T = TypeVar("T", bound=msgspec.Struct)


# Commits whose manifests are looked up together.
_AT_ONCE = 256
_NONE_DELETED: Mapping[CommitId, set[str | None]] = {}


@dataclass(slots=True)
class Marks:
    """What is reachable. Grows by :meth:`extend`; what was walked once is not walked again.

    ``passed_over`` are deleted commits (with None) and parts whose contents were not marked.
    """

    manifests: Manifests
    holdings: Holdings
    chunks: ChunkSet
    commits: set[CommitId] = field(default_factory=set)
    passed_over: set[Deleted] = field(default_factory=set)
    # Apart from the chunks: a tensor may hold the very bytes of an object, and says nothing of what that refers to.
    _walked: set[ChunkId] = field(default_factory=set)
    _lost: frozenset[ChunkId] = frozenset()

    @classmethod
    def none(cls, manifests: Manifests, holdings: Holdings) -> Self:
        """Nothing is marked yet."""
        return cls(manifests, holdings, ChunkSet(holdings.records.numbering))

    def extend(self, survey: Survey, besides: Mapping[CommitId, set[str | None]] = _NONE_DELETED) -> None:
        """Mark from every ref of ``survey``. SurveyError when a reachable commit is missing, or a manifest of one lost.

        ``besides`` are parts, or with None whole commits, that count as deleted, too.
        What fails half way is taken up again by the next call: a commit counts once all it holds is marked.
        """
        self._lost = frozenset(survey.lost)
        new = ((commit, found) for commit, found in _reachable(survey) if commit not in self.commits)
        self.mark((commit, found, _deleted(survey, besides, commit)) for commit, found in new)
        self._mark_undeleted(survey, besides)

    def mark(self, commits: Iterable[tuple[CommitId, CommitObject, Collection[str | None]]]) -> None:
        """Mark what commits hold, each but for its parts that are deleted. Errors as of :meth:`extend`."""
        pending = iter(commits)
        while some := list(islice(pending, _AT_ONCE)):
            self._mark_some(some)

    def clear(self) -> None:
        """Start anew: a mark stays when what it was made for has been deleted, and then taken by another gc."""
        self.chunks.clear()
        for marked in (self.commits, self.passed_over, self._walked):
            marked.clear()

    def _mark_undeleted(self, survey: Survey, besides: Mapping[CommitId, set[str | None]]) -> None:
        back = {(c, part) for c, part in self.passed_over if part not in _deleted(survey, besides, c)}
        commits = dict.fromkeys(commit for commit, _ in back)
        self.mark((commit, survey.commits[commit], _deleted(survey, besides, commit)) for commit in commits)
        self.passed_over -= back

    def _mark_some(self, commits: Sequence[tuple[CommitId, CommitObject, Collection[str | None]]]) -> None:
        parts: _Owners = {}
        for identity, commit, deleted in commits:
            if None in deleted:
                self.passed_over.add((identity, None))
                continue
            for data in (commit.environment, commit.config, commit.meta):
                self.chunks.add(data)
            for part in commit.parts:
                if part.name in deleted:
                    self.passed_over.add((identity, part.name))
                else:
                    parts.setdefault(ChunkId(part.id), (identity, part.name))
        self._mark_parts(parts)
        self.commits.update(identity for identity, _, _ in commits)

    def _mark_parts(self, owners: _Owners) -> None:
        parts = list(self._objects(owners, Part))
        self._mark_groups({ChunkId(group): owners[identity] for identity, part in parts for group in part.groups})
        for identity, part in parts:
            self.chunks.update((*part.skeletons, identity))
            # Last: it says that everything below is marked, too.
            self._walked.add(identity)

    def _mark_groups(self, owners: _Owners) -> None:
        for identity, group in self._objects(owners, Group):
            self.chunks.add(group.chunks)
            self.chunks.update((identity, ChunkId(group.layout)))
            self._walked.add(identity)

    def _objects(self, owners: _Owners, kind: type[T]) -> Iterator[tuple[ChunkId, T]]:
        """Those that were not walked yet; SurveyError when one is lost."""
        new = [identity for identity in owners if identity not in self._walked]
        for identity in new:
            if identity in self._lost:
                commit, part = owners[identity]
                raise SurveyError(
                    f"commit {commit.short}: the list of what its part {part!r} holds is lost; nothing was"
                    f" deleted, run `deltackpt repair --from` a copy, or `deltackpt delete {commit.short}`"
                )
        known = self.holdings.locations(new)
        for identity, data in zip(new, self.manifests.objects(new, known), strict=True):
            yield identity, decode(data, kind)


def _deleted(survey: Survey, besides: Mapping[CommitId, set[str | None]], commit: CommitId) -> set[str | None]:
    return survey.deleted.get(commit, set()) | besides.get(commit, set())


def _reachable(survey: Survey) -> Iterator[tuple[CommitId, CommitObject]]:
    seen: set[CommitId] = set()
    pending = list(survey.refs.values())
    while pending:
        commit = pending.pop()
        if commit in seen:
            continue
        seen.add(commit)
        found = survey.commits.get(commit)
        if found is None:
            raise SurveyError(
                f"commit {commit.short} is reachable but missing; nothing was deleted, run `deltackpt verify`"
            )
        yield commit, found
        # A parent that a gc dropped stays dropped; one that is there is history.
        pending.extend(CommitId(parent) for parent in found.parents if CommitId(parent) in survey.commits)
