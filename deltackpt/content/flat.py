"""The state of a file that has no nesting: its tensors by name."""

from __future__ import annotations

from collections.abc import Iterable

from deltackpt.content.table import Row
from deltackpt.skeleton.array_types import name_of
from deltackpt.skeleton.nodes import Mapping, NumpyArray, TensorNode, TorchTensor, Tree
from deltackpt.skeleton.tags import Tag
from deltackpt.tensor.dtype import DType

# Tools whose tensors are NumPy's; those of all others are PyTorch's.
_OF_NUMPY = frozenset({"npy", "npz", "zarr", "zarr-2", "zarr-shards", "tensorflow", "onnx", "onnx-data"})

# A chunk of an array is its file, which has the chunk's name already.
_BARE = frozenset({"zarr", "zarr-2"})


def flat_tree(format: str, named: Iterable[tuple[str, Row]]) -> Tree:
    """A dict of tensors by their names in a file of ``format``; the tensor itself where it is all and needs no name."""
    found = flat_dict(format, named)
    bare = len(found.keys) == 1 and (format in _BARE or not found.keys[0])
    return found.items[0] if bare else found


def flat_dict(format: str, named: Iterable[tuple[str, Row]]) -> Mapping:
    """A dict of tensors by name."""
    tensors = [(name, _tensor(format, row)) for name, row in named]
    return Mapping(Tag.DICT, [name for name, _ in tensors], [tensor for _, tensor in tensors])


def _tensor(format: str, row: Row) -> TensorNode:
    name = _array_type(row.source.dtype) if format in _OF_NUMPY else None
    return TorchTensor(row.reference, None, 0) if name is None else NumpyArray(row.reference, None, name, 0)


def _array_type(dtype: DType) -> str | None:
    """NumPy's name of an element type; None for blocks."""
    return name_of(dtype) if dtype.block_values is None else None
