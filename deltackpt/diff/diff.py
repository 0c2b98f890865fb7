"""What changed from one commit to another: tensors, values, configuration, metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.checkout.ranges import PIECE_BYTES, read_window
from deltackpt.diff.change import Change, change_between
from deltackpt.diff.values import ValueChange, differences, plain_values, state_values
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.skeleton.boxes import in_pieces
from deltackpt.skeleton.nodes import NumpyArray
from deltackpt.skeleton.view import View

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor that both commits have. ``reshaped`` tells the old form when element type or shape differ."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    change: Change
    reshaped: str | None = None

    @property
    def rank(self) -> tuple[object, ...]:
        """The order of a report: first what is or was not finite, then by the norm of the difference."""
        found = self.change
        return -found.nonfinite, -found.l2, -found.changed, self.name


@dataclass(frozen=True, slots=True)
class Diff:
    """From ``old`` to ``new``, by the names of tensors.

    ``changed`` is ordered by the norm of the difference, largest first; before that by how many values are not finite.
    """

    old: Commit
    new: Commit
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[TensorChange, ...]
    unchanged: int
    values: tuple[ValueChange, ...]
    config: tuple[ValueChange, ...]
    metrics: tuple[ValueChange, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A commit, and the store that holds it. Chunks are named by their contents, so two stores can be compared."""

    repository: Repository
    commit: Commit

    def tensors(self) -> dict[str, NamedTensor]:
        return {tensor.name: tensor for tensor in named_tensors(self.repository, self.commit)}


def diff(old: Side, new: Side, progress: Progress | None = None) -> Diff:
    """Compare two commits. Reads only chunks that differ; memory stays at a few chunks for each thread."""
    before, after = old.tensors(), new.tensors()
    changes = [
        _change(old.repository, new.repository, before[name], after[name], progress) for name in _moved(before, after)
    ]
    # Windows on memory that changed elsewhere turn out to be the same.
    changes = [change for change in changes if change.reshaped or change.change.changed]
    return Diff(
        old.commit,
        new.commit,
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        tuple(sorted(changes, key=lambda change: change.rank)),
        len(before.keys() & after.keys()) - len(changes),
        differences(state_values(old.repository, old.commit), state_values(new.repository, new.commit)),
        differences(dict(plain_values(old.commit.config)), dict(plain_values(new.commit.config))),
        differences(dict(plain_values(old.commit.metrics)), dict(plain_values(new.commit.metrics))),
    )


def changed_bytes(old: Side, new: Side) -> int:
    """Plain bytes of the tensors that a diff compares: what its ``progress`` counts to."""
    before, after = old.tensors(), new.tensors()
    moved = (after[name] for name in _moved(before, after) if _form(before[name]) == _form(after[name]))
    return sum(tensor.nbytes for tensor in moved)


def _moved(before: Mapping[str, NamedTensor], after: Mapping[str, NamedTensor]) -> list[str]:
    return [name for name, tensor in after.items() if name in before and not _same(before[name], tensor)]


def _same(old: NamedTensor, new: NamedTensor) -> bool:
    """Whether nothing needs to be read to know that two tensors are equal."""
    one, other = old.stored, new.stored
    equal = one.chunks == other.chunks and one.inline == other.inline and _cut(one) == _cut(other)
    return equal and old.leaf.view == new.leaf.view and _form(old) == _form(new)


def _cut(stored: StoredTensor) -> tuple[int, int]:
    return stored.layout.period, stored.layout.piece


def _form(tensor: NamedTensor) -> tuple[object, ...]:
    node = tensor.leaf.node
    return tensor.dtype, tensor.shape, node.type if isinstance(node, NumpyArray) else None


def _change(
    ours: Repository, theirs: Repository, old: NamedTensor, new: NamedTensor, progress: Progress | None
) -> TensorChange:
    form = (new.name, new.dtype.name, new.shape)
    if _form(old) != _form(new):
        return TensorChange(*form, Change(), f"{old.dtype} {list(old.shape)}")
    return TensorChange(*form, _compare(ours, theirs, old, new, progress))


def _compare(
    ours: Repository, theirs: Repository, old: NamedTensor, new: NamedTensor, progress: Progress | None
) -> Change:
    total = Change()
    if _alike_chunked(old, new):
        found = _by_chunks(ours, theirs, old.stored, new.stored, _units(new))
    else:
        found = _by_pieces(ours, theirs, old, new)
    for size, change in found:
        total += change
        if progress is not None:
            progress(size)
    return total


def _alike_chunked(old: NamedTensor, new: NamedTensor) -> bool:
    """Whether both tensors are all of what is stored, in chunks that are cut at the same places."""
    whole = old.leaf.view is None and new.leaf.view is None
    return whole and not new.stored.layout.inline and _cut(old.stored) == _cut(new.stored)


def _units(tensor: NamedTensor) -> int:
    """How many elements of the table make one of the tensor's own."""
    node = tensor.leaf.node
    if not isinstance(node, NumpyArray):
        return 1
    from deltackpt.skeleton.array_types import numpy_type, units_of

    return tensor.shape[-1] if units_of(numpy_type(node.type)) else 1


def _by_chunks(
    ours: Repository, theirs: Repository, old: StoredTensor, new: StoredTensor, units: int
) -> Iterator[tuple[int, Change]]:
    """Changes with the bytes that they are of, chunk by chunk; equal chunks are not read."""
    running: deque[tuple[int, Future[Change]]] = deque()

    def compare(before: ChunkId, after: ChunkId) -> Change:
        return change_between(ours.reader.read(before), theirs.reader.read(after), new.dtype, units)

    for (before, start, stop), (after, _, _) in zip(old.spans(), new.spans(), strict=True):
        if before == after:
            yield stop - start, Change((stop - start) // (new.dtype.itemsize * units))
        else:
            running.append((stop - start, theirs.executor.submit(compare, before, after)))
        while len(running) > theirs.ahead:
            size, job = running.popleft()
            yield size, job.result()
    for size, job in running:
        yield size, job.result()


def _by_pieces(
    ours: Repository, theirs: Repository, old: NamedTensor, new: NamedTensor
) -> Iterator[tuple[int, Change]]:
    """The same piece by piece, for tensors that are views of others or are cut differently."""
    before, after = _window(old), _window(new)
    for box in in_pieces(after, PIECE_BYTES):
        sides = (read_window(ours, old.stored, box.of(before)), read_window(theirs, new.stored, box.of(after)))
        yield len(sides[1]), change_between(*sides, new.dtype, _units(new))


def _window(tensor: NamedTensor) -> View:
    return tensor.leaf.view or View(tensor.dtype, tensor.shape)
