"""Reading single tensors, or rows of one, without loading the rest."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.checkout.losses import losses_of
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.errors import NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository
from deltackpt.skeleton.array_types import numpy_type, units_of
from deltackpt.skeleton.nodes import NumpyArray
from deltackpt.tensor.dtype import DType, framework_form


class LazyTensor:
    """A tensor of a commit. Indexing reads the chunks that hold the rows asked for, and no others.

    ``t[100:200]``, ``t[5]``, ``t[...]``: the first index picks rows, the rest is applied to them. The result has the
    values and the type that were committed: a torch tensor on the CPU, without gradient, or a NumPy array. Quantised
    blocks come as their bytes: uint8, with one dimension more than ``shape``. MissingTorchError for a torch tensor
    where torch is not installed; :meth:`numpy` needs none.
    """

    def __init__(self, repository: Repository, commit: Commit, tensor: NamedTensor) -> None:
        self._repository = repository
        self._commit = commit
        self._tensor = tensor
        self._array = _numpy_form(tensor)

    @property
    def name(self) -> str:
        return self._tensor.name

    @property
    def dtype(self) -> Any:
        """The element type of the table; of an array its NumPy type."""
        return self._tensor.dtype if self._array is None else self._array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape[: len(self._tensor.shape) - self._units]

    @property
    def nbytes(self) -> int:
        return self._tensor.nbytes

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self.name!r} has no dimension, so it has no length")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        picks = index if isinstance(index, tuple) else (index,)
        rows = self._rows(picks[0]) if self.shape and picks else None
        if rows is None:
            return self._read(0, self._rows_in_all)[index]
        start, stop, rest = rows
        return self._read(start, stop)[(rest, *picks[1:])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The whole tensor, for ``numpy.asarray``; always a copy."""
        if copy is False:
            raise ValueError(f"{self.name!r} is read from the store, which takes a copy")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def numpy(self) -> Any:
        """The whole tensor as a NumPy array, also when it was a torch tensor; needs no torch."""
        return self._as_array(self._bytes(0, self._rows_in_all), self._tensor.shape)

    @property
    def _units(self) -> int:
        """How many dimensions of the table stand for a single element."""
        return 0 if self._array is None else units_of(self._array)

    @property
    def _rows_in_all(self) -> int:
        return self.shape[0] if self.shape else 1

    def _rows(self, pick: Any) -> tuple[int, int, Any] | None:
        """First row, row after the last, and the index within these rows; None when rows cannot be told beforehand."""
        count = self.shape[0]
        if isinstance(pick, numbers.Integral) and not isinstance(pick, bool):
            row = int(pick) + count if pick < 0 else int(pick)
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

    def _read(self, start: int, stop: int) -> Any:
        """Rows ``start`` to ``stop`` as what was committed."""
        shape = (stop - start, *self._tensor.shape[1:]) if self._tensor.shape else ()
        plain = self._bytes(start, stop)
        if self._array is not None:
            return self._as_array(plain, shape)
        return _torch_tensor(plain, *framework_form(self._tensor.dtype, shape))

    def _bytes(self, start: int, stop: int) -> memoryview:
        """Plain bytes of rows ``start`` to ``stop``."""
        view = self._tensor.leaf.view
        with losses_of(self._commit):
            if view is None:
                row = self.nbytes // self._rows_in_all if self._rows_in_all else 0
                return read_range(self._repository, self._tensor.stored, start * row, stop * row)
            return read_window(self._repository, self._tensor.stored, view.rows(start, stop))

    def _as_array(self, plain: memoryview, shape: tuple[int, ...]) -> Any:
        """Plain bytes of the table's ``shape`` as an array."""
        from deltackpt.skeleton.numpy_build import of_plain_bytes, type_of_table

        if self._array is None:
            dtype, shape = framework_form(self._tensor.dtype, shape)
            return of_plain_bytes(plain, type_of_table(dtype), shape)
        return of_plain_bytes(plain, self._array, shape[: len(shape) - self._units])


class Reader:
    """Tensors of one commit by name; ``store.reader(ref)`` makes one. A context manager, but nothing needs closing."""

    def __init__(self, repository: Repository, commit: Commit) -> None:
        self._repository = repository
        self.commit = commit
        with losses_of(commit):
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
        return LazyTensor(self._repository, self.commit, self._tensors[name])


def _numpy_form(tensor: NamedTensor) -> Any:
    """The NumPy type of an array that was committed, bytes for a large value; None for a torch tensor."""
    node = tensor.leaf.node
    if isinstance(node, NumpyArray):
        return numpy_type(node.type)
    return numpy_type("|u1") if tensor.leaf.is_value else None


def _torch_tensor(plain: memoryview, dtype: DType, shape: tuple[int, ...]) -> Any:
    from deltackpt.skeleton.build import torch_build
    from deltackpt.skeleton.view import View

    library = torch_build()
    torch = library.torch
    handle = torch.frombuffer(plain, dtype=torch.uint8) if plain else torch.empty(0, dtype=torch.uint8, device="cpu")
    return library.strided(handle, View(dtype, shape))
