"""A storage as tensor spans.

Often one tensor is the storage. But several may share it: tied weights, views of one flat buffer, a slice that
was saved with all that it was cut from. The spans must not overlap, and each byte should belong to the tensor that
other files know it by. So, in this order:

1. tensors that together are the storage, none of them the whole (a flat buffer and the parameters in it);
2. the first tensor that is the whole storage;
3. tensors from the front, each that begins behind the one before; what no tensor covers is filled up with spans of
   the storage's own type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from deltackpt.formats.pickles.nodes import Storage, Tensor
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pickles.state import Place
from deltackpt.formats.pickles.torch_types import ELEMENTS
from deltackpt.formats.pytorch.dense import Range, dense_range
from deltackpt.formats.spans import TensorSpan
from deltackpt.tensor.dtype import dtype_named

Naming = Callable[[Step | None, str], str]


@dataclass(frozen=True, slots=True)
class View:
    """A tensor, or a bare storage (None), and where it stands in the state."""

    step: Step | None
    tensor: Tensor | None


@dataclass(frozen=True, slots=True)
class _Tile:
    range: Range
    step: Step | None
    suffix: str = ""

    @property
    def start(self) -> int:
        return self.range.start

    @property
    def end(self) -> int:
        return self.range.end


def tensor_spans(storage: Storage, place: Place, views: Sequence[View], name: Naming) -> list[TensorSpan]:
    """Spans that tile the storage's bytes at ``place`` of the file; ``views``, one or more, in the state's order."""
    if not place.length:
        return _without_elements(place, views, name)
    tiles = _distinct(views)
    parts = [tile for tile in tiles if tile.end - tile.start < place.length]
    whole = next((tile for tile in tiles if tile.end - tile.start == place.length), None)
    chosen = _exact(parts, place.length) or ([whole] if whole else _filled(parts, storage, place.length, views[0].step))
    return [
        TensorSpan(
            name(tile.step, tile.suffix),
            tile.range.dtype,
            tile.range.shape,
            place.offset + tile.start,
            tile.end - tile.start,
        )
        for tile in chosen
    ]


def _without_elements(place: Place, views: Sequence[View], name: Naming) -> list[TensorSpan]:
    """A span of no bytes for the first tensor of an empty storage."""
    for view in views:
        if view.tensor is not None:
            dtype = ELEMENTS[view.tensor.dtype]
            return [TensorSpan(name(view.step, ""), dtype, view.tensor.shape, place.offset, 0)]
    return []


def _distinct(views: Iterable[View]) -> list[_Tile]:
    """What the views cover, the first of those that cover the same bytes."""
    tiles: dict[tuple[int, int], _Tile] = {}
    for view in views:
        covered = None if view.tensor is None else dense_range(view.tensor)
        if covered is not None:
            tiles.setdefault((covered.start, covered.end), _Tile(covered, view.step))
    return list(tiles.values())


def _exact(tiles: Iterable[_Tile], length: int) -> list[_Tile]:
    """Tiles from 0 to ``length`` without a gap, the longest first at each place; empty when there are none."""
    following: dict[int, _Tile] = {}
    for tile in sorted(tiles, key=lambda tile: (-tile.start, -tile.end)):
        if tile.start not in following and (tile.end == length or tile.end in following):
            following[tile.start] = tile
    chosen, at = [], 0
    while at in following:
        chosen.append(following[at])
        at = following[at].end
    return chosen if at == length else []


def _filled(tiles: Iterable[_Tile], storage: Storage, length: int, owner: Step | None) -> list[_Tile]:
    """Tiles that do not overlap, the longest first at each place, and fillers named after ``owner`` between them."""
    chosen: list[_Tile] = []
    at = 0
    for tile in sorted(tiles, key=lambda tile: (tile.start, -tile.end)):
        if tile.start < at:
            continue
        if tile.start > at:
            chosen.append(_filler(storage, at, tile.start, owner))
        chosen.append(tile)
        at = tile.end
    if at < length:
        chosen.append(_filler(storage, at, length, owner, whole=at == 0))
    return chosen


def _filler(storage: Storage, start: int, end: int, owner: Step | None, whole: bool = False) -> _Tile:
    """Bytes of a storage as a flat tensor of the storage's type, or of bytes where that does not divide them."""
    odd = start % storage.itemsize or end % storage.itemsize
    dtype = dtype_named("uint8") if odd else ELEMENTS[storage.dtype]
    flat = Range(start, end, dtype, ((end - start) // dtype.itemsize,))
    return _Tile(flat, owner, "" if whole else f"@{start}")
