"""Reading single tensors, or rows of one, without loading the rest."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.errors import NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository
from deltackpt.skeleton.nodes import NumpyArray
from deltackpt.tensor.dtype import DType, framework_form


class LazyTensor:
    """A tensor of a commit. Indexing reads the chunks that hold the rows asked for, and no others.

    ``t[100:200]``, ``t[5]``, ``t[...]``: the first index picks rows, the rest is applied to them. The result is what
    was committed: a torch tensor on the CPU, or a NumPy array. Quantised blocks come as their bytes: uint8, with one
    dimension more than ``shape``.
    """

    def __init__(self, repository: Repository, tensor: NamedTensor) -> None:
        self._repository = repository
        self._tensor = tensor

    @property
    def name(self) -> str:
        return self._tensor.name

    @property
    def dtype(self) -> DType:
        return self._tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape

    @property
    def nbytes(self) -> int:
        return self._tensor.nbytes

    def __getitem__(self, index: Any) -> Any:
        picks = index if isinstance(index, tuple) else (index,)
        rows = self._rows(picks[0]) if self.shape and picks else None
        if rows is None:
            return self._made(self._bytes(0, self._rows_in_all), self.shape)[index]
        start, stop, rest = rows
        part = self._made(self._bytes(start, stop), (stop - start, *self.shape[1:]))
        return part[(rest, *picks[1:])]

    def numpy(self) -> Any:
        """The whole tensor as a NumPy array, also when it was a torch tensor; needs no torch."""
        return _numpy_array(self._bytes(0, self._rows_in_all), *framework_form(self.dtype, self.shape))

    @property
    def _rows_in_all(self) -> int:
        return self.shape[0] if self.shape else 1

    def _rows(self, pick: Any) -> tuple[int, int, Any] | None:
        """First row, row after the last, and the index within these rows; None when rows cannot be told beforehand."""
        count = self.shape[0]
        if isinstance(pick, int) and not isinstance(pick, bool):
            row = pick + count if pick < 0 else pick
            if not 0 <= row < count:
                raise IndexError(f"row {pick} of {self.name!r}, which has {count}")
            return row, row + 1, 0
        if isinstance(pick, slice):
            picked = range(*pick.indices(count))
            if not picked:
                return 0, 0, slice(None)
            first, last = min(picked[0], picked[-1]), max(picked[0], picked[-1])
            return first, last + 1, slice(None, None, picked.step)
        return None

    def _bytes(self, start: int, stop: int) -> bytearray:
        """Plain bytes of rows ``start`` to ``stop``."""
        view = self._tensor.leaf.view
        if view is None:
            row = self.nbytes // self._rows_in_all if self._rows_in_all else 0
            return read_range(self._repository, self._tensor.stored, start * row, stop * row)
        return bytearray(read_window(self._repository, self._tensor.stored, view.rows(start, stop)))

    def _made(self, plain: bytearray, shape: tuple[int, ...]) -> Any:
        make = _numpy_array if isinstance(self._tensor.leaf.node, NumpyArray) else _torch_tensor
        return make(plain, *framework_form(self.dtype, shape))


class Reader:
    """Tensors of one commit by name; ``store.reader(ref)`` makes one. A context manager, but nothing needs closing."""

    def __init__(self, repository: Repository, commit: Commit) -> None:
        self._repository = repository
        self.commit = commit
        self._tensors = {tensor.name: tensor for tensor in named_tensors(repository, commit)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def keys(self) -> list[str]:
        """Full names of all tensors, in order."""
        return list(self._tensors)

    def tensor(self, name: str) -> LazyTensor:
        """NotFoundError with near matches when there is no such name."""
        if name not in self._tensors:
            close = difflib.get_close_matches(name, self._tensors, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise NotFoundError(f"commit {self.commit.description} has no tensor {name!r}{hint}")
        return LazyTensor(self._repository, self._tensors[name])


def _numpy_array(plain: bytearray, dtype: DType, shape: tuple[int, ...]) -> Any:
    import ml_dtypes
    import numpy as np

    found = getattr(np, dtype.name, None) or getattr(ml_dtypes, dtype.name, None)
    name = found if found is not None else {"bool": np.bool_}.get(dtype.name, f"V{dtype.itemsize}")
    return np.frombuffer(plain, np.dtype(name)).reshape(shape)


def _torch_tensor(plain: bytearray, dtype: DType, shape: tuple[int, ...]) -> Any:
    from deltackpt.skeleton.torch_build import allocate, strided
    from deltackpt.skeleton.view import View

    handle, memory = allocate(len(plain), zeroed=False)
    memory[:] = plain
    return strided(handle, View(dtype, shape))
