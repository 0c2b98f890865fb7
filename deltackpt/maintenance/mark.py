"""Which commits and chunks are reachable from the refs, and which records that takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from deltackpt.chunkstore.record import RecordHead
from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import CommitObject, Group, Part, decode, split_chunks
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.survey import Place, Survey, SurveyError

Deleted = tuple[CommitId, str | None]

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

    def extend(self, survey: Survey) -> None:
        """Mark from every ref of ``survey``. SurveyError when a reachable commit is missing.

        What fails half way is taken up again by the next call: a commit counts once all it holds is marked.
        """
        for commit, found in _reachable(survey):
            if commit not in self.commits:
                self._mark_contents(commit, found, survey.deleted.get(commit, set()))
                self.commits.add(commit)
        self._mark_undeleted(survey)

    def clear(self) -> None:
        """Start anew: a mark stays when what it was made for has been deleted, and then taken by another gc."""
        for marked in (self.commits, self.chunks, self.passed_over, self._walked):
            marked.clear()

    def _mark_undeleted(self, survey: Survey) -> None:
        back = {piece for piece in self.passed_over if piece[1] not in survey.deleted.get(piece[0], set())}
        for commit in {commit for commit, _ in back}:
            self._mark_contents(commit, survey.commits[commit], survey.deleted.get(commit, set()))
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
                self._mark_part(ChunkId(part.id))

    def _mark_part(self, identity: ChunkId) -> None:
        if identity in self._walked:
            return
        part = decode(self.manifests.object(identity), Part)
        for group in map(ChunkId, part.groups):
            self._mark_group(group)
        self.chunks.update((*part.skeletons, identity))
        # Last: it says that everything below is marked, too.
        self._walked.add(identity)

    def _mark_group(self, identity: ChunkId) -> None:
        if identity in self._walked:
            return
        group = decode(self.manifests.object(identity), Group)
        self.chunks.update(split_chunks(group.chunks))
        self.chunks.update((identity, ChunkId(group.layout)))
        self._walked.add(identity)


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
        if place is None:
            raise SurveyError(
                f"chunk {chunk.short} is reachable but in no pack; nothing was deleted, run `deltackpt verify`"
            )
        if id(place.entry) not in live:
            live[id(place.entry)] = place
            pending.extend(place.entry.head.bases)
    return live
