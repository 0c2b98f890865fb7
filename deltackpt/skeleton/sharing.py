"""What the tensors of a state share, and which of them own the bytes.

1. Leaves are grouped by storage; most storages have one leaf, which is its own table entry.
2. Leaves with the same view of a storage are one entry.
3. The other views of a storage fall into clusters whose byte ranges overlap. A view that covers its cluster in C order
   owns it and the others are windows on it. When none does, the cluster itself becomes a one-dimensional entry.
4. Clusters of one storage are entries of their own that remember their position in it.

Bytes of a storage that no view touches are never stored.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from deltackpt.skeleton.cluster_source import ClusterSource
from deltackpt.skeleton.holes import Entry, Hole, Settled
from deltackpt.skeleton.view import View, allowance
from deltackpt.tensor.dtype import DType, dtype_named

Found = tuple[int, Hole]
"""A hole with its place in the order of traversal."""

SYNTHETIC_SUFFIX = "/storage"


class Sharing:
    """Settles every hole of a state; ``taken`` are the names that entries made here must avoid."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def settle(self, holes: list[Hole]) -> list[Settled]:
        """One :class:`Settled` per hole, in the same order."""
        storages: dict[Hashable, list[Found]] = {}
        for order, hole in enumerate(holes):
            storages.setdefault(hole.storage, []).append((order, hole))
        settled: list[Settled | None] = [None] * len(holes)
        for found in storages.values():
            for (order, _), result in zip(found, self._storage(found), strict=True):
                settled[order] = result
        return [result for result in settled if result is not None]

    def _storage(self, found: list[Found]) -> list[Settled]:
        order, hole = found[0]
        if len(found) == 1 and hole.view.strides is None:
            return [Settled(hole, _entry(order, hole, hole.view))]
        results = self._views(found)
        number_twins(results)
        return results

    def _views(self, found: list[Found]) -> list[Settled]:
        first: dict[View, Found] = {}
        for order, hole in found:
            first.setdefault(hole.view, (order, hole))
        places: dict[View, tuple[Entry, View | None]] = {}
        for cluster in overlapping(first):
            places.update(self._cluster([first[view] for view in cluster]))
        if len(first) > 1:
            remember_positions(dict.fromkeys(entry for entry, _ in places.values()))
        return [Settled(hole, *places[hole.view]) for _, hole in found]

    def _cluster(self, members: list[Found]) -> dict[View, tuple[Entry, View | None]]:
        members.sort(key=lambda found: found[0])
        compact = [hole.view.compact() for _, hole in members]
        low = min(view.bounds()[0] for view in compact)
        high = max(view.bounds()[1] for view in compact)
        for (order, hole), view in zip(members, compact, strict=True):
            if view.is_row_major() and view.bounds() == (low, high):
                return _windows(members, _entry(order, hole, view))
        if len(members) == 1 and members[0][1].view.is_one_to_one():
            return dict([_apart(*members[0], compact[0])])
        if high - low > allowance(sum(view.nbytes for view in compact)):
            return dict(_apart(*member, view, loose=True) for member, view in zip(members, compact, strict=True))
        return _windows(members, self._synthetic(members, compact, low, high))

    def _synthetic(self, members: list[Found], compact: list[View], low: int, high: int) -> Entry:
        order, first = members[0]
        dtype = _common_type(compact, low, high)
        layout = View(dtype, ((high - low) // dtype.itemsize,), None, low)
        pieces = [
            (hole.opener(hole.subject, view), view.shifted(-low))
            for (_, hole), view in zip(members, compact, strict=True)
        ]
        return Entry(self._free_name(first.name), first.part, order, layout, ClusterSource(pieces, dtype, layout.shape))

    def _free_name(self, leaf: str) -> str:
        name = leaf + SYNTHETIC_SUFFIX
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        return name


def overlapping(views: Iterable[View]) -> Iterable[list[View]]:
    """Views in groups whose byte ranges overlap, by position."""
    group: list[View] = []
    end = -1
    for view in sorted(views, key=lambda v: v.bounds()):
        low, high = view.bounds()
        if group and low >= end:
            yield group
            group = []
        group.append(view)
        end = max(end, high) if len(group) > 1 else high
    yield group


def remember_positions(entries: Iterable[Entry]) -> None:
    """Tie entries of one storage together, unless it is one entry that starts the storage anyway."""
    fixed = sorted((entry for entry in entries if not entry.loose), key=lambda entry: entry.order)
    if len(fixed) == 1 and fixed[0].layout.bounds()[0] == 0:
        return
    for entry in fixed:
        entry.shared = fixed[0]


def number_twins(results: list[Settled]) -> None:
    """Leaves alike in all that is stored are one object or several: number the objects in order of appearance."""
    objects: dict[Hashable, dict[int, int]] = {}
    for result in results:
        hole = result.hole
        alike = objects.setdefault((id(result.entry), result.window, hole.tag, hole.flags, hole.extra), {})
        result.twin = alike.setdefault(id(hole.subject), len(alike))


def _entry(order: int, hole: Hole, layout: View) -> Entry:
    return Entry(hole.name, hole.part, order, layout, hole.opener(hole.subject, layout))


def _windows(members: list[Found], entry: Entry) -> dict[View, tuple[Entry, View | None]]:
    """Every member as a window on the entry's memory; None for the one that is the entry."""
    low = entry.layout.bounds()[0]
    return {hole.view: (entry, None if hole.view == entry.layout else hole.view.shifted(-low)) for _, hole in members}


def _apart(order: int, hole: Hole, compact: View, *, loose: bool = False) -> tuple[View, tuple[Entry, View | None]]:
    """A member that keeps its own bytes, with strides that restoring can afford."""
    low = compact.bounds()[0]
    expanded = compact.shape != hole.view.shape
    layout = View(compact.dtype, compact.shape, None, low) if expanded else compact.placeable()
    entry = _entry(order, hole, layout)
    entry.loose = loose
    return hole.view, (entry, layout.expanded_like(hole.view).shifted(-low) if expanded else None)


def _common_type(views: list[View], low: int, high: int) -> DType:
    """The element type of a whole cluster: that of its views when they agree and are aligned, else bytes."""
    dtype = views[0].dtype
    size = dtype.itemsize
    aligned = all((view.offset - low) % size == 0 and all(s % size == 0 for s in view.steps) for view in views)
    if aligned and (high - low) % size == 0 and all(view.dtype == dtype for view in views):
        return dtype
    return dtype_named("uint8")
