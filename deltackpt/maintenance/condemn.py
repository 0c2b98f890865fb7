"""What a gc moves out of packs before they go, in steps that are quickly applied.

Each step is one record: it condemns some packs and brings copies of what lives there, or deltas encoded anew. Whoever
publishes next brings the index up to date first, so that no step holds more than some thousand chunks, and none less
than a pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from deltackpt.chunkstore.transaction import Transaction
from deltackpt.ids import PackId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.live import Live, packed_size
from deltackpt.maintenance.reencode import Reencoded

MOST_CHUNKS = 1_000
# Each record costs a look at the whole store, so of a store of millions of chunks a record takes more.
MOST_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """``condemned`` packs with their live records, which are ``copied``; and ``rebased`` ones, which take over."""

    condemned: tuple[PackId, ...] = ()
    copied: tuple[Place, ...] = ()
    rebased: tuple[Reencoded, ...] = ()

    @property
    def written_bytes(self) -> int:
        """Of the packs that the step writes."""
        heads = [place.entry.head for place in lowest_last(self.copied)] + [new.head for new in self.rebased]
        return packed_size(heads)


def steps(live: Live, condemned: Sequence[PackId], rebased: Sequence[Reencoded]) -> Iterator[Step]:
    """All that is to be done, at once where that is little; else deltas first that leave a dead base.

    What those stood on is not copied. A step leaves every chunk that lives where it was or in a copy of that very
    record, so steps may be cut anywhere.
    """
    copied = {pack: tuple(live.places(pack)) if live.count(pack) else () for pack in condemned}
    weights = [len(new.head.members) for new in rebased]
    # A pack is a row of the index, too.
    weights += [1 + sum(len(place.entry.head.members) for place in places) for places in copied.values()]
    most = max(MOST_CHUNKS, sum(weights) // MOST_RECORDS)
    if rebased and condemned and sum(weights) <= most:
        everything = tuple(place for pack in condemned for place in copied[pack])
        yield Step(tuple(condemned), everything, tuple(rebased))
        return
    for group in _groups(weights[: len(rebased)], most):
        yield Step(rebased=tuple(rebased[group]))
    for group in _groups(weights[len(rebased) :], most):
        packs = tuple(condemned[group])
        yield Step(packs, tuple(place for pack in packs for place in copied[pack]))


def _groups(weights: Sequence[int], most: int) -> Iterator[slice]:
    """Neighbours that weigh no more than ``most`` together, one at least."""
    first = weight = 0
    for at, more in enumerate(weights):
        if at > first and weight + more > most:
            yield slice(first, at)
            first, weight = at, 0
        weight += more
    if first < len(weights):
        yield slice(first, len(weights))


def lowest_last(places: Iterable[Place]) -> list[Place]:
    """In the order in which they are written: of a chunk that several records hold, the copy that comes last is used.

    Two writers may have brought the chunk, each beside others that live. A rank must not rise: what stands on the chunk
    stays as it is.
    """
    return sorted(places, key=lambda place: -place.entry.head.rank)


@dataclass(frozen=True, slots=True)
class Copied:
    """What a transaction has copied; by pack the offsets of those records that it was seen to hold."""

    transaction: Transaction
    _seen: dict[PackId, bytes] = field(default_factory=dict)

    def holds(self, live: Live, pack: PackId) -> bool:
        """Whether every live record of the pack is among them. Asked again at every attempt to publish."""
        offsets = live.holdings.records.offsets[live.records(pack)].tobytes()
        if self._seen.get(pack) != offsets:
            members = (member for place in live.places(pack) for member in place.entry.head.members)
            if not all(self.transaction.contains(member.id) for member in members):
                return False
            self._seen[pack] = offsets
        return True
