"""New tensors that have no base of their own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltackpt.chunking.grid import grid_for
from deltackpt.commit.forms import Form, hints_from
from deltackpt.commit.samples import size_of
from deltackpt.commit.watched import unwatched
from deltackpt.content.content import Content
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import INLINE_BYTES
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import BYTES
from deltackpt.tensor.source import TensorSource


@dataclass(frozen=True, slots=True)
class Wanted:
    """A new tensor. ``doubted`` says that the parent has one of its name and form, which need not be its past."""

    name: str
    source: TensorSource
    form: Form
    nbytes: int
    doubted: bool

    @property
    def forms(self) -> tuple[Form, ...]:
        """Those of stored tensors that may be its base."""
        return (self.form,) if (wide := self.form.wide) is None else (self.form, wide)

    @property
    def first_bytes(self) -> int:
        """Length of the first chunk."""
        return self.form.first * self.source.dtype.itemsize


def wanted_bases(content: Content, parent: Mapping[str, StoredTensor], chunk_bytes: int) -> list[Wanted]:
    """The tensors of ``content`` that ``parent`` has no base for, and those of their forms that may have a wrong one.

    Where a layer is put before others, their names move on: the last name is new, and all have another's past.
    """
    tensors = [tensor for part in content.parts for tensor in part.tensors if _may_have_base(tensor)]
    lacking = [tensor for tensor in tensors if not _has_base(tensor, parent.get(tensor.name), chunk_bytes)]
    if not lacking:
        return []
    without = [_wanted(tensor, chunk_bytes, doubted=False) for tensor in lacking]
    forms, names = {one.form for one in without}, {one.name for one in without}
    others = (_wanted(tensor, chunk_bytes, doubted=True) for tensor in tensors if tensor.name not in names)
    return [*without, *(one for one in others if one.form in forms)]


def _may_have_base(tensor: CapturedTensor) -> bool:
    """Not bytes without a type, nor what stands within the manifest."""
    return tensor.source.dtype is not BYTES and size_of(tensor) > INLINE_BYTES


def _has_base(tensor: CapturedTensor, held: StoredTensor | None, chunk_bytes: int) -> bool:
    if held is None:
        return False
    dtype, shape = tensor.source.dtype, tensor.source.shape
    if (held.layout.dtype, held.shape) == (dtype.name, shape):
        return True
    grid = grid_for(dtype.itemsize, shape, chunk_bytes)
    return bool(hints_from(held, dtype, grid, size_of(tensor)))


def _wanted(tensor: CapturedTensor, chunk_bytes: int, *, doubted: bool) -> Wanted:
    source = unwatched(tensor.source)
    dtype, shape = source.dtype, source.shape
    nbytes = size_of(tensor)
    form = Form.of(dtype, nbytes, grid_for(dtype.itemsize, shape, chunk_bytes))
    return Wanted(tensor.name, source, form, nbytes, doubted)
