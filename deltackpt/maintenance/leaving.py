"""What leaves the store with a gc, in records that are quickly applied.

Whoever publishes next brings the index up to date first, at some ten microseconds for each chunk that has gone. So that
no save waits for a large gc, it tells what is gone in several records, each of which leaves a store that is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deltackpt.chunkstore.log_record import Piece
from deltackpt.chunkstore.transaction import Decision
from deltackpt.ids import CommitId, PackId
from deltackpt.maintenance.forget import forgotten
from deltackpt.maintenance.live import Live
from deltackpt.maintenance.mark import Deleted, Marks
from deltackpt.maintenance.survey import Survey

MOST_COMMITS, MOST_CHUNKS = 1_000, 2_000
# Each record costs a look at the whole store, so a store of millions of chunks is not left in steps of thousands.
MOST_RECORDS = 250


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
        packs = _first(self.packs, survey) if done else ()
        return Decision(
            "gc",
            gone=tuple(sorted(packs)),
            forgotten=forgotten(survey, packs),
            dropped=tuple(sorted(commits)),
            purged=tuple(Piece(commit, part) for commit, part in pieces),
        )


def _first(packs: Sequence[PackId], survey: Survey) -> Sequence[PackId]:
    """The first of ``packs``, one at least, with no more chunks than a record is to tell as gone."""
    if not packs:
        return packs
    records = survey.holdings.records
    members = np.append(records.first, len(records.chunks))
    known = [survey.holdings.packs[pack] for pack in packs]
    ends = np.cumsum([members[pack.stop] - members[pack.start] for pack in known])
    most = max(MOST_CHUNKS, int(ends[-1]) // MOST_RECORDS)
    return packs[: max(1, int(np.searchsorted(ends, most, "right")))]
