"""Which chunks leave the store with packs that are not theirs, so that everyone agrees on what it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.survey import Survey


def forgotten(survey: Survey, gone: Collection[PackId]) -> tuple[ChunkId, ...]:
    """Garbage in packs that stay, which must not be found there when ``gone`` packs have left.

    Either a base of it goes. Or its copy in use goes, which once took over from a pack that was then revived: who built
    an index later would never have heard of that copy, and find the first one again.
    """
    return tuple(sorted({*_without_base(survey, gone), *_shadows(survey, gone)}))


def _without_base(survey: Survey, gone: Collection[PackId]) -> Iterator[ChunkId]:
    lost: dict[ChunkId, bool] = {}
    for start in survey.in_use:
        pending = [start]
        while pending:
            chunk = pending[-1]
            place = survey.in_use.get(chunk)
            unknown = [] if place is None else [base for base in place.entry.head.bases if base not in lost]
            if chunk not in lost and unknown and place is not None and place.pack not in gone:
                pending.extend(unknown)
                continue
            pending.pop()
            if chunk not in lost:
                bases = () if place is None else place.entry.head.bases
                # A base that is declared lost may come back, and what stands on it with it.
                leaves = chunk not in survey.lost if place is None else place.pack in gone
                lost[chunk] = leaves or any(lost[base] for base in bases)
    for chunk, is_lost in lost.items():
        if is_lost and chunk in survey.in_use and survey.in_use[chunk].pack not in gone:
            yield chunk


def _shadows(survey: Survey, gone: Collection[PackId]) -> Iterator[ChunkId]:
    leaving = {chunk for chunk, place in survey.in_use.items() if place.pack in gone}
    if leaving:
        for pack, (_, entries) in survey.packs.items():
            if pack not in gone:
                yield from (m.id for entry in entries for m in entry.head.members if m.id in leaving)
