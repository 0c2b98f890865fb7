"""A storage as tensor spans.

Often one tensor is the storage. But several may share it: tied weights, views of one flat buffer, a slice that
was saved with all that it was cut from. The spans must not overlap, and every tensor must lie within one of them, as in
a live state (``skeleton/sharing.py``), so that both keep the same bytes under the same name:

1. tensors whose ranges of bytes overlap are a cluster, and a cluster is one span;
2. it is the first tensor that covers all of the cluster without a hole;
3. where none does, it is flat, of the storage's own type, and takes in what lies unused beside it;
4. other unused bytes are spans of the storage's type, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from deltackpt.formats.pickles.nodes import Storage, Tensor
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pickles.state import Place
from deltackpt.formats.pickles.torch_types import ELEMENTS, PACKED
from deltackpt.formats.pytorch.dense import dense_range
from deltackpt.formats.spans import TensorSpan
from deltackpt.tensor.dtype import DType, dtype_named

Naming = Callable[[Step | None, str], str]


@dataclass(frozen=True, slots=True)
class View:
    """A tensor, or a bare storage (None), and where it stands in the state."""

    step: Step | None
    tensor: Tensor | None

    def bounds(self, length: int) -> tuple[int, int]:
        """First byte of the storage that it touches, and the byte behind the last."""
        tensor = self.tensor
        if tensor is None or tensor.dtype in PACKED:
            return 0, length
        start = tensor.offset * tensor.itemsize
        if 0 in tensor.shape:
            return start, start
        reach = sum((extent - 1) * step for extent, step in zip(tensor.shape, tensor.strides, strict=True))
        return start, start + (reach + 1) * tensor.itemsize


@dataclass(slots=True)
class _Cluster:
    """Bytes ``start`` to ``end`` of a storage, and the views that lie there, by their place in the state's order."""

    start: int
    end: int
    views: list[tuple[int, View]]

    def owner(self) -> tuple[View, DType, tuple[int, ...]] | None:
        """The first view that is all of the cluster, with the type and the shape of its bytes."""
        for _, view in sorted(self.views, key=lambda numbered: numbered[0]):
            covered = None if view.tensor is None else dense_range(view.tensor)
            if covered is not None and (covered.start, covered.end) == (self.start, self.end):
                return view, covered.dtype, covered.shape
        return None

    @property
    def first(self) -> View:
        return min(self.views, key=lambda numbered: numbered[0])[1]


def tensor_spans(storage: Storage, place: Place, views: Sequence[View], name: Naming) -> list[TensorSpan]:
    """Spans that tile the storage's bytes at ``place`` of the file; ``views``, one or more, in the state's order."""
    if not place.length:
        return _without_elements(place, views, name)
    tiling = _Tiling(storage, place, views[0].step, name)
    for cluster in _clusters(views, place.length):
        tiling.add(cluster)
    tiling.fill(place.length)
    return tiling.spans


class _Tiling:
    """Spans from the front of a storage on; ``at`` is the byte behind the last."""

    def __init__(self, storage: Storage, place: Place, owner: Step | None, name: Naming) -> None:
        self._storage = storage
        self._place = place
        self._owner = owner
        self._name = name
        self._open: _Cluster | None = None
        self._at = 0
        self.spans: list[TensorSpan] = []

    def add(self, cluster: _Cluster) -> None:
        found = cluster.owner()
        if found is None:
            # Flat: its end is where the next span begins.
            self._close(cluster.start if self._open else self._at)
            self._open = cluster
            return
        view, dtype, shape = found
        self.fill(cluster.start)
        self._span(self._name(view.step, ""), dtype, shape, cluster.end)

    def fill(self, end: int) -> None:
        """Flat spans up to ``end``."""
        self._close(end)
        if self._at < end:
            self._flat(self._owner, end)

    def _close(self, end: int) -> None:
        if self._open is not None:
            self._flat(self._open.first.step, end)
            self._open = None

    def _flat(self, owner: Step | None, end: int) -> None:
        """A flat span of the storage's type, or of bytes where that does not divide it."""
        odd = self._at % self._storage.itemsize or end % self._storage.itemsize
        dtype = dtype_named("uint8") if odd else ELEMENTS[self._storage.dtype]
        whole = self._at == 0 and end == self._place.length
        name = self._name(owner, "" if whole else f"@{self._at}")
        self._span(name, dtype, ((end - self._at) // dtype.itemsize,), end)

    def _span(self, name: str, dtype: DType, shape: tuple[int, ...], end: int) -> None:
        self.spans.append(TensorSpan(name, dtype, shape, self._place.offset + self._at, end - self._at))
        self._at = end


def _without_elements(place: Place, views: Sequence[View], name: Naming) -> list[TensorSpan]:
    """A span of no bytes for the first tensor of an empty storage."""
    for view in views:
        if view.tensor is not None:
            dtype = ELEMENTS[view.tensor.dtype]
            return [TensorSpan(name(view.step, ""), dtype, view.tensor.shape, place.offset, 0)]
    return []


def _clusters(views: Iterable[View], length: int) -> Iterator[_Cluster]:
    """Views in clusters, from the front; views without elements touch nothing."""
    bounded = sorted((view.bounds(length), number, view) for number, view in enumerate(views))
    cluster: _Cluster | None = None
    for (start, end), number, view in bounded:
        if start == end:
            continue
        if cluster is not None and start < cluster.end:
            cluster.end = max(cluster.end, end)
            cluster.views.append((number, view))
            continue
        if cluster is not None:
            yield cluster
        cluster = _Cluster(start, end, [(number, view)])
    if cluster is not None:
        yield cluster
