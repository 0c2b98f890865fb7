"""What leaves the store with a gc, in records that are quickly applied.

Whoever publishes next brings the index up to date first, at some ten microseconds for each commit, pack and chunk
that a record names. So that no save waits for a large gc, it tells what is gone in several records, each of which
leaves a store that is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deltackpt.chunkstore.log_record import Piece
from deltackpt.chunkstore.transaction import Decision
from deltackpt.ids import ChunkId, CommitId, PackId
from deltackpt.maintenance.forget import forgotten
from deltackpt.maintenance.live import Live
from deltackpt.maintenance.mark import Deleted, Marks
from deltackpt.maintenance.survey import Survey

MOST_COMMITS = MOST_PACKS = MOST_FORGOTTEN = 1_000


@dataclass(frozen=True, slots=True)
class Leaving:
    """Commits that no ref reaches, pieces of commits that were deleted, and condemned packs that nothing needs.

    The newest come first: children leave before their parents, and deltas before their bases.
    """

    commits: tuple[CommitId, ...]
    pieces: tuple[Deleted, ...]
    packs: tuple[PackId, ...]

    @classmethod
    def now(cls, survey: Survey, marks: Marks, live: Live) -> Leaving:
        return cls(
            tuple(commit for commit in reversed(survey.commits) if commit not in marks.commits),
            tuple(sorted(marks.passed_over - survey.purged, key=lambda piece: (piece[0], piece[1] or ""))),
            tuple(p for p in reversed(survey.holdings.packs) if p in survey.condemned and not live.count(p)),
        )

    @property
    def empty(self) -> bool:
        return not (self.commits or self.pieces or self.packs)

    def decision(self, survey: Survey) -> Decision:
        """What one record tells of it. Commits and pieces leave before what they hold."""
        commits = self.commits[:MOST_COMMITS]
        pieces = self.pieces[: MOST_COMMITS - len(commits)]
        done = (commits, pieces) == (self.commits, self.pieces)
        packs, sunk = _first(self.packs, survey) if done else ((), ())
        return Decision(
            "gc",
            gone=tuple(sorted(packs)),
            forgotten=sunk,
            dropped=tuple(sorted(commits)),
            purged=tuple(Piece(commit, part) for commit, part in pieces),
        )


def _first(packs: Sequence[PackId], survey: Survey) -> tuple[Sequence[PackId], tuple[ChunkId, ...]]:
    """The first of ``packs``, one at least, that a record tells as gone, and the chunks to be forgotten with them."""
    packs = packs[:MOST_PACKS]
    while len(sunk := forgotten(survey, packs)) > MOST_FORGOTTEN and len(packs) > 1:
        packs = packs[: len(packs) // 2]
    return packs, sunk
