"""Which records a check reads, and in which order their chunks can be decoded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.verify.contents import Contents


@dataclass(frozen=True, slots=True)
class Work:
    """Records to read: ``roots`` of trees, ``children`` by their base, ``bundles`` of deltas, and the unused ones."""

    roots: list[Place] = field(default_factory=list)
    children: dict[ChunkId, list[Place]] = field(default_factory=dict)
    bundles: list[Place] = field(default_factory=list)
    unused: list[Place] = field(default_factory=list)

    @property
    def stored_bytes(self) -> int:
        lists = (self.roots, self.bundles, self.unused, *self.children.values())
        return sum(place.entry.head.stored_length for places in lists for place in places)


def plan_work(contents: Contents, only: Collection[PackId] | None = None) -> Work:
    """All records; or those of the packs in ``only``, and what decoding them takes."""
    used = {id(place.entry): place for place in contents.in_use.values()}
    work = Work()
    for pack, entries in contents.packs.items():
        if only is None or pack in only:
            work.unused.extend(Place(pack, entry) for entry in entries if id(entry) not in used)
    for place in used.values() if only is None else _with_bases(contents, used.values(), only):
        head = place.entry.head
        if not head.bases:
            work.roots.append(place)
        elif len(head.members) > 1:
            work.bundles.append(place)
        else:
            work.children.setdefault(head.bases[0], []).append(place)
    return work


def _with_bases(contents: Contents, used: Iterable[Place], only: Collection[PackId]) -> Iterator[Place]:
    seen: set[int] = set()
    pending = [place for place in used if place.pack in only]
    while pending:
        place = pending.pop()
        if id(place.entry) not in seen:
            seen.add(id(place.entry))
            yield place
            pending.extend(contents.in_use[base] for base in place.entry.head.bases if base in contents.in_use)
