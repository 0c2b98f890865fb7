"""What a skeleton says, as a tree. A child is one of these nodes, or a plain Python value that is itself.

Nothing here needs torch, and NumPy only for the words of a scalar that is a key, so a state can be listed, compared and
selected from without either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

from deltackpt.skeleton.array_types import ArrayType
from deltackpt.skeleton.tags import Tag
from deltackpt.skeleton.view import View

Tree: TypeAlias = Any
"""A node, or a plain value: None, bool, int, float, complex, str, bytes, bytearray, set, frozenset, range, slice.

Sets, keys, and tuples in either, hold plain values and the nodes that can be hashed. As a key, a node is called what
its ``repr`` says.
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A row of a part's tensor table."""

    part: str
    index: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a table entry's elements go when they are not simply in C order in memory of their own.

    Entries with the same ``group`` lie in one storage, each at its ``position`` (bytes).
    """

    strides: tuple[int, ...] | None = None
    group: Reference | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list or a tuple."""

    tag: Tag
    items: list[Tree]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dictionary of any kind. ``factory`` is a default dict's; ``metadata`` a module state dict's."""

    tag: Tag
    keys: list[Any]
    items: list[Tree]
    factory: str = "None"
    metadata: Tree = None


@dataclass(frozen=True, slots=True)
class Fields:
    """An instance of a registered named tuple, dataclass or tensor subclass. As a key it holds tuples."""

    tag: Tag
    name: str
    fields: list[str] | tuple[str, ...]
    items: list[Tree] | tuple[Tree, ...]

    def __repr__(self) -> str:
        held = (f"{field}={item!r}" for field, item in zip(self.fields, self.items, strict=True))
        return f"{self.name}({', '.join(held)})"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a registered enum: its name, or the value of a flag."""

    tag: Tag
    name: str
    member: str | int

    def __repr__(self) -> str:
        return f"{self.name}.{self.member}" if isinstance(self.member, str) else f"{self.name}({self.member})"


@dataclass(frozen=True, slots=True)
class PartHere:
    """The place in the root where a part stands."""

    name: str


@dataclass(frozen=True, slots=True)
class TorchTensor:
    """A tensor: all of a table entry, or the window ``view`` on its memory. Equal nodes are one object."""

    reference: Reference
    view: View | None
    flags: int


@dataclass(frozen=True, slots=True)
class SparseTensor:
    """A sparse tensor over its dense parts, in the order of ``part_names``."""

    layout: str
    shape: tuple[int, ...]
    flags: int
    parts: tuple[TorchTensor, ...]
    parameter: bool = False

    @property
    def part_names(self) -> tuple[str, ...]:
        return SPARSE_PARTS[self.layout]


SPARSE_PARTS = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """A quantised tensor over its dense parts, in the order of ``part_names``: whole numbers and what they stand for.

    ``dtype`` and ``scheme`` are PyTorch's words; ``axis`` is the dimension along which scales differ, None for one
    scale. Values narrower than a byte are packed, in one dimension.
    """

    dtype: str
    scheme: str
    axis: int | None
    shape: tuple[int, ...]
    flags: int
    parts: tuple[TorchTensor, ...]

    @property
    def part_names(self) -> tuple[str, ...]:
        return QUANTIZED_PARTS[self.scheme]


PER_TENSOR = "per_tensor_affine"
"""The scheme of one scale for all values."""

PER_CHANNEL = "per_channel_affine"
PER_CHANNEL_FLOATING = "per_channel_affine_float_qparams"

QUANTIZED_PARTS = {
    PER_TENSOR: ("values", "scale", "zero_point"),
    PER_CHANNEL: ("values", "scales", "zero_points"),
    PER_CHANNEL_FLOATING: ("values", "scales", "zero_points"),
}

PARAMETER_TYPES = {
    PER_TENSOR: ("float64", "int64"),
    PER_CHANNEL: ("float64", "int64"),
    PER_CHANNEL_FLOATING: ("float32", "float32"),
}
"""What PyTorch keeps scales and zero points in."""

_IN_A_BYTE = {"quint4x2": 2, "quint2x4": 4}


def is_packed(dtype: str) -> bool:
    """Whether PyTorch packs several values of this type into a byte."""
    return dtype in _IN_A_BYTE


def shape_of_values(dtype: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the whole numbers of a quantised tensor: its own, but packed ones are bytes, whole ones for each row."""
    if not is_packed(dtype):
        return shape
    return (prod(shape[:-1]) * -(-shape[-1] // _IN_A_BYTE[dtype]),) if shape else (1,)


@dataclass(frozen=True, slots=True)
class TorchSize:
    extents: tuple[int, ...]

    def __repr__(self) -> str:
        return f"torch.Size({list(self.extents)})"


@dataclass(frozen=True, slots=True)
class TorchDtype:
    name: str

    def __repr__(self) -> str:
        return f"torch.{self.name}"


@dataclass(frozen=True, slots=True)
class TorchDevice:
    name: str

    def __repr__(self) -> str:
        return f"torch.device({self.name!r})"


@dataclass(frozen=True, slots=True)
class NumpyArray:
    """An array: all of a table entry, or the window ``view`` on its memory. Equal nodes are one object."""

    reference: Reference
    view: View | None
    type: ArrayType
    flags: int


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A byte string, or text in UTF-8, whose bytes are a table entry. ``kind`` is the tag that a short one has."""

    reference: Reference
    kind: Tag
    flags: int

    @property
    def view(self) -> None:
        """It is all of its entry."""


@dataclass(frozen=True, slots=True)
class NumpyScalar:
    type: ArrayType
    raw: bytes

    def __repr__(self) -> str:
        from deltackpt.skeleton.numpy_build import scalar

        return repr(scalar(self))


TensorNode: TypeAlias = TorchTensor | NumpyArray | LargeValue
"""What has its bytes in the tensor table."""
Composite: TypeAlias = SparseTensor | QuantizedTensor
"""A tensor that consists of dense ones, each a leaf below its name."""
Container: TypeAlias = Sequence | Mapping | Fields


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One part's skeleton, read: how many rows its table has, where they lie, and the tree."""

    part: str
    entries: int
    tree: Tree
    placements: dict[int, Placement] = field(default_factory=dict)
