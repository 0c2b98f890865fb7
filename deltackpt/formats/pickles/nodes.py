"""What a pickle says, as a tree of inert values. Nothing here runs, imports or owns anything of what it describes.

Identity means what it means in Python: a list, or a tensor, that stands in two places of the state is one
object here. Nodes are filled while the pickle is read and not changed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Node: TypeAlias = Any
"""A class of this module, or a plain value that is itself: None, bool, int, float, complex, str, bytes, bytearray,
range, slice; and ``list`` and ``tuple``, which hold nodes."""


@dataclass(slots=True, eq=False)
class Dict:
    """A dictionary. ``kind`` is dict, OrderedDict, defaultdict or Counter; ``factory`` names a defaultdict's type.

    Keys are nodes, so they stand in pairs, in the order in which they were set. ``attributes`` are an OrderedDict's own
    (a module's ``_metadata``): a Dict, or None.
    """

    kind: str
    pairs: list[tuple[Node, Node]]
    factory: str | None = None
    attributes: Node = None


@dataclass(slots=True, eq=False)
class Set:
    """A set or a frozenset."""

    items: list[Node]
    frozen: bool


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory that tensors view: ``count`` elements of ``dtype``, kept apart from the pickle under ``key``.

    ``dtype`` is PyTorch's word, uint8 for an untyped storage; ``device`` is where it was.
    """

    key: str
    dtype: str
    itemsize: int
    count: int
    device: str

    @property
    def nbytes(self) -> int:
        return self.count * self.itemsize


@dataclass(frozen=True, slots=True)
class StorageView:
    """Part of a storage under a key of its own, as old files have it: ``count`` elements from ``start``."""

    storage: Storage
    start: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A strided window on a storage, which it does not leave. ``strides`` and ``offset`` count elements of ``dtype``.

    ``conj`` and ``neg``: the values are the conjugate or the negative of what is stored.
    """

    storage: Storage
    dtype: str
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    requires_grad: bool
    conj: bool = False
    neg: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """``torch.nn.Parameter`` over ``data``; ``attributes`` are those it carried, or None."""

    data: Node
    requires_grad: bool
    attributes: Node = None


@dataclass(frozen=True, slots=True, eq=False)
class Attributed:
    """A plain tensor that carries Python ``attributes``."""

    data: Node
    attributes: Node


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse tensor over dense ``parts``: indices and values, or compressed indices, plain indices and values."""

    layout: str
    parts: tuple[Node, ...]
    shape: tuple[int, ...]
    coalesced: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """Integers with a scheme: (scale, zero point), or (scales, zero points, axis)."""

    data: Tensor
    scheme: str
    parameters: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Meta:
    """A tensor on the meta device: a description without data."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool


@dataclass(frozen=True, slots=True)
class Size:
    """``torch.Size``."""

    extents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dtype:
    """``torch.float32`` and its like, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Device:
    """``torch.device``, as its text: ``cpu``, ``cuda:0``."""

    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """``torch.strided`` and its like, by name."""

    name: str


@dataclass(slots=True, eq=False)
class NumpyDtype:
    """A NumPy element type: ``code`` as f8, i4, V12, or a dotted name (``ml_dtypes.bfloat16``); ``order`` < > | or =.

    ``fields`` is what the pickle says about a structured, sub-array or timed type, else None.
    """

    code: str
    order: str = "="
    fields: Node = None

    @property
    def name(self) -> str:
        """NumPy's own string (``<f8``), or the dotted name."""
        return self.code if "." in self.code else self.order + self.code


@dataclass(slots=True, eq=False)
class NumpyArray:
    """An array whose bytes stand in the pickle itself. ``raw`` is a list of nodes for an array of objects."""

    dtype: Node = None
    shape: tuple[int, ...] = ()
    fortran: bool = False
    raw: Node = b""


@dataclass(frozen=True, slots=True, eq=False)
class NumpyScalar:
    dtype: Node
    raw: Node


@dataclass(frozen=True, slots=True)
class Symbol:
    """The dotted name of a class or function that the pickle mentions. It is never looked up."""

    name: str


@dataclass(slots=True, eq=False)
class Opaque:
    """An object of a class that is not on the list: its ``name``, and what the pickle would have given to it.

    Tensors inside are found; the object itself cannot be made again.
    """

    name: str
    args: tuple[Node, ...] = ()
    state: Node = None
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
