"""PyTorch's sparse tensors: each is its layout, its shape and its dense parts, and every part is a leaf."""

from __future__ import annotations

from collections.abc import Hashable

import torch

from deltackpt.skeleton.tags import COALESCED, TWIN_SHIFT, Flag, Tag
from deltackpt.skeleton.walk import Walk

_COMPRESSED = {
    torch.sparse_csr: ("sparse_csr", "crow_indices", "col_indices"),
    torch.sparse_csc: ("sparse_csc", "ccol_indices", "row_indices"),
    torch.sparse_bsr: ("sparse_bsr", "crow_indices", "col_indices"),
    torch.sparse_bsc: ("sparse_bsc", "ccol_indices", "row_indices"),
}
LAYOUTS = frozenset({torch.sparse_coo, *_COMPRESSED})

Parts = list[tuple[str, torch.Tensor]]


def write_sparse(walk: Walk, tensor: torch.Tensor, path: str, tag: Tag) -> None:
    """Append the node of a sparse tensor, and its parts below its name."""
    layout, coalesced, parts = walk.census.once(tensor, _taken_apart)
    flags = int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0
    shape = tuple(tensor.shape)
    twin = walk.census.twin(tensor, (tag, layout, flags, coalesced, shape, tuple(place(part) for _, part in parts)))
    walk.enter(tensor, path)
    walk.atoms += (int(tag), flags | coalesced | twin << TWIN_SHIFT, layout, len(shape), *shape)
    for name, part in parts:
        walk.child(part, path, name)
    walk.leave(tensor)


def place(part: torch.Tensor) -> Hashable:
    """Equal for tensors that are the same elements of one memory."""
    return part.data_ptr(), tuple(part.shape), part.stride(), part.dtype


def _taken_apart(tensor: torch.Tensor) -> tuple[str, int, Parts]:
    """Layout, the coalesced flag, and the dense parts in the order in which they are stored."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        parts = [("indices", tensor._indices()), ("values", tensor._values())]
        return "sparse_coo", COALESCED if tensor.is_coalesced() else 0, parts
    layout, compressed, plain = _COMPRESSED[tensor.layout]
    names = (compressed, plain, "values")
    return layout, 0, [(name, getattr(tensor, name)()) for name in names]


def sparse_parts(tensor: torch.Tensor) -> Parts:
    """The dense parts of a live sparse tensor, by name, on its own memory."""
    return _taken_apart(tensor)[2]


def settle_sparse(tensor: torch.Tensor) -> None:
    """After the indices of a live tensor were replaced: say anew whether they are sorted and unique."""
    if tensor.layout is torch.sparse_coo:
        with torch.no_grad():
            indices = tensor._indices()
            before, after = indices[:, :-1], indices[:, 1:]
            rising = torch.zeros(after.shape[1:], dtype=torch.bool, device=indices.device)
            for low, high in zip(before.flip(0), after.flip(0), strict=True):
                rising = (high > low) | ((high == low) & rising)
            tensor._coalesced_(bool(rising.all()))
