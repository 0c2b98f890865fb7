"""What changed from one commit to another: tensors, values, configuration, metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from deltackpt.checkout.leaves import part_leaves
from deltackpt.diff.change import Change, change_between
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor that both commits have. ``reshaped`` tells the old form when element type or shape differ."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    change: Change
    reshaped: str | None = None


@dataclass(frozen=True, slots=True)
class ValueChange:
    """Something that is no tensor: a configuration entry, a metric, a learning rate. Absent sides are None."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Diff:
    """From ``old`` to ``new``. ``changed`` is ordered by the norm of the difference, largest first."""

    old: Commit
    new: Commit
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[TensorChange, ...]
    unchanged: int
    values: tuple[ValueChange, ...]
    config: tuple[ValueChange, ...]
    metrics: tuple[ValueChange, ...]


def diff(repository: Repository, old: Commit, new: Commit, progress: Progress | None = None) -> Diff:
    """Compare two commits. Reads only chunks that differ; memory stays at a few chunks for each thread."""
    before, after = _tensors(repository, old), _tensors(repository, new)
    both = [name for name in after if name in before]
    moved = [name for name in both if not _same(before[name], after[name])]
    changes = _changes(repository, [(name, before[name], after[name]) for name in moved], progress)
    return Diff(
        old,
        new,
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        tuple(sorted(changes, key=lambda change: (-change.change.l2, -change.change.changed, change.name))),
        len(both) - len(moved),
        _values(_plain_values(repository, old), _plain_values(repository, new)),
        _values(_flat(old.config), _flat(new.config)),
        _values(old.metrics, new.metrics),
    )


def changed_bytes(repository: Repository, old: Commit, new: Commit) -> int:
    """Plain bytes of the tensors that a diff compares: what its ``progress`` counts to."""
    before, after = _tensors(repository, old), _tensors(repository, new)
    return sum(t.nbytes for name, t in after.items() if name in before and not _same(before[name], t))


def _tensors(repository: Repository, commit: Commit) -> dict[str, StoredTensor]:
    return {t.name: t for entry in commit.parts for t in repository.manifests.part(entry.id).tensors}


def _same(old: StoredTensor, new: StoredTensor) -> bool:
    return old.layout == new.layout and old.chunks == new.chunks and old.inline == new.inline


def _changes(
    repository: Repository, pairs: list[tuple[str, StoredTensor, StoredTensor]], progress: Progress | None
) -> Iterator[TensorChange]:
    for name, old, new in pairs:
        form = (name, new.dtype.name, new.shape)
        if old.dtype != new.dtype or old.shape != new.shape:
            yield TensorChange(*form, Change(), f"{old.dtype} {list(old.shape)}")
        elif new.inline is not None and old.inline is not None:
            yield TensorChange(*form, change_between(old.inline, new.inline, new.dtype))
        else:
            yield TensorChange(*form, _compare(repository, old, new, progress))


def _compare(repository: Repository, old: StoredTensor, new: StoredTensor, progress: Progress | None) -> Change:
    running: deque[Future[Change]] = deque()
    total = Change()
    for (before, start, stop), (after, _, _) in zip(old.spans(), new.spans(), strict=True):
        if before == after:
            total += Change((stop - start) // new.dtype.itemsize)
        else:
            running.append(repository.executor.submit(_compare_chunk, repository, before, after, new))
        while len(running) > repository.ahead:
            total += running.popleft().result()
        if progress is not None:
            progress(stop - start)
    for job in running:
        total += job.result()
    return total


def _compare_chunk(repository: Repository, old: ChunkId, new: ChunkId, tensor: StoredTensor) -> Change:
    return change_between(repository.reader.read(old), repository.reader.read(new), tensor.dtype)


def _plain_values(repository: Repository, commit: Commit) -> dict[str, Any]:
    return {
        leaf.name: leaf.value for entry in commit.parts for leaf in part_leaves(repository, commit, entry.name).values
    }


def _flat(config: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {path: config} if path else {}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{path}/{key}" if path else str(key)
        flat.update(_flat(value, name) if isinstance(value, Mapping) and value else {name: value})
    return flat


def _values(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[ValueChange, ...]:
    names = [*old, *(name for name in new if name not in old)]
    return tuple(
        ValueChange(name, old.get(name), new.get(name)) for name in names if repr(old.get(name)) != repr(new.get(name))
    )
