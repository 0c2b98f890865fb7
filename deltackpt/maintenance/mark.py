"""Which commits and chunks are reachable from the refs, and which records that takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from deltackpt.chunkstore.record import RecordHead
from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import CommitObject, Group, Part, decode, split_chunks
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.survey import Place, Survey, SurveyError

Deleted = tuple[CommitId, str | None]
T = TypeVar("T", bound=msgspec.Struct)


class _ManifestLostError(Exception):
    """What a commit holds cannot be told, so neither can what is garbage."""


_NONE_DELETED: Mapping[CommitId, set[str | None]] = {}
_NOTHING: Mapping[ChunkId, RecordHead] = {}


@dataclass(slots=True)
class Marks:
    """What is reachable. Grows by :meth:`extend`; what was walked once is not walked again.

    ``passed_over`` are deleted commits (with None) and parts whose contents were not marked.
    """

    manifests: Manifests
    commits: set[CommitId] = field(default_factory=set)
    chunks: set[ChunkId] = field(default_factory=set)
    passed_over: set[Deleted] = field(default_factory=set)
    # Apart from the chunks: a tensor may hold the very bytes of an object, and says nothing of what that refers to.
    _walked: set[ChunkId] = field(default_factory=set)
    _lost: frozenset[ChunkId] = frozenset()

    def extend(self, survey: Survey, besides: Mapping[CommitId, set[str | None]] = _NONE_DELETED) -> None:
        """Mark from every ref of ``survey``. SurveyError when a reachable commit is missing, or a manifest of one lost.

        ``besides`` are parts, or with None whole commits, that count as deleted, too.
        What fails half way is taken up again by the next call: a commit counts once all it holds is marked.
        """
        self._lost = frozenset(survey.lost)
        for commit, found in _reachable(survey):
            if commit not in self.commits:
                deleted = survey.deleted.get(commit, set()) | besides.get(commit, set())
                self._mark_contents(commit, found, deleted)
                self.commits.add(commit)
        self._mark_undeleted(survey, besides)

    def clear(self) -> None:
        """Start anew: a mark stays when what it was made for has been deleted, and then taken by another gc."""
        for marked in (self.commits, self.chunks, self.passed_over, self._walked):
            marked.clear()

    def _mark_undeleted(self, survey: Survey, besides: Mapping[CommitId, set[str | None]]) -> None:
        def deleted(commit: CommitId) -> set[str | None]:
            return survey.deleted.get(commit, set()) | besides.get(commit, set())

        back = {(commit, part) for commit, part in self.passed_over if part not in deleted(commit)}
        for commit in {commit for commit, _ in back}:
            self._mark_contents(commit, survey.commits[commit], deleted(commit))
        self.passed_over -= back

    def _mark_contents(self, identity: CommitId, commit: CommitObject, deleted: set[str | None]) -> None:
        if None in deleted:
            self.passed_over.add((identity, None))
            return
        free_form = (commit.environment, commit.config, commit.meta)
        self.chunks.update(ChunkId(data) for data in free_form if data)
        for part in commit.parts:
            if part.name in deleted:
                self.passed_over.add((identity, part.name))
            else:
                try:
                    self._mark_part(ChunkId(part.id))
                except _ManifestLostError:
                    raise SurveyError(
                        f"commit {identity.short}: the list of what its part {part.name!r} holds is lost; nothing was"
                        f" deleted, run `deltackpt repair --from` a copy, or `deltackpt delete {identity.short}`"
                    ) from None

    def _mark_part(self, identity: ChunkId) -> None:
        if identity in self._walked:
            return
        part = self._object(identity, Part)
        for group in map(ChunkId, part.groups):
            self._mark_group(group)
        self.chunks.update((*part.skeletons, identity))
        # Last: it says that everything below is marked, too.
        self._walked.add(identity)

    def _mark_group(self, identity: ChunkId) -> None:
        if identity in self._walked:
            return
        group = self._object(identity, Group)
        self.chunks.update(split_chunks(group.chunks))
        self.chunks.update((identity, ChunkId(group.layout)))
        self._walked.add(identity)

    def _object(self, identity: ChunkId, kind: type[T]) -> T:
        if identity in self._lost:
            raise _ManifestLostError
        return decode(self.manifests.object(identity), kind)


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


def live_records(
    survey: Survey, chunks: Iterable[ChunkId], instead: Mapping[ChunkId, RecordHead] = _NOTHING
) -> dict[int, Place]:
    """The records that decoding ``chunks`` takes, bases of whole records included, by the identity of their entry.

    What is declared lost is passed over; what stands on it lives on, as it may be readable again.
    ``instead`` are heads of records that will take over; they have no place yet.
    """
    live: dict[int, Place] = {}
    seen: set[ChunkId] = set()
    pending = list(chunks)
    while pending:
        chunk = pending.pop()
        if chunk in seen:
            continue
        seen.add(chunk)
        if chunk in instead:
            pending.extend(instead[chunk].bases)
            continue
        place = survey.in_use.get(chunk)
        if place is None and chunk in survey.lost:
            continue
        if place is None:
            raise SurveyError(
                f"chunk {chunk.short} is reachable but in no pack; nothing was deleted, run `deltackpt verify`"
            )
        if id(place.entry) not in live:
            live[id(place.entry)] = place
            pending.extend(place.entry.head.bases)
    return live
