"""Loading: from a commit to the nested object that was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from deltackpt.checkout.fetch import IntoMemory, Progress, fetch
from deltackpt.checkout.losses import losses_of
from deltackpt.errors import InvalidInputError, brief
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredPart, StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.skeleton.build import torch_build
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.table import TensorInfo
from deltackpt.tensor.dtype import framework_form

T = TypeVar("T")


class _OnDemand(Mapping[str, T]):
    """Something of each part of a commit, by the part's name, read when it is first asked for and then kept."""

    def __init__(self, repository: Repository, commit: Commit, read: Callable[[StoredPart], T]) -> None:
        self._repository = repository
        self._commit = commit
        self._read = read
        self._kept: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        return (part.name for part in self._commit.parts)

    def __len__(self) -> int:
        return len(self._commit.parts)

    def __getitem__(self, name: str) -> T:
        if name not in self._kept:
            self._kept[name] = self._read(self._repository.manifests.part(self._commit.part_named(name).id))
        return self._kept[name]


def skeletons(repository: Repository, commit: Commit) -> Mapping[str, bytes]:
    """The skeleton of each part."""
    return _OnDemand(repository, commit, lambda part: part.skeleton)


def tables(repository: Repository, commit: Commit) -> Mapping[str, Sequence[TensorInfo]]:
    """The tensor table of each part, in the order that skeletons refer to."""
    return _OnDemand(repository, commit, lambda part: [TensorInfo(t.name, t.dtype, t.shape) for t in part.tensors])


def _built(repository: Repository, commit: Commit) -> Mapping[str, Sequence[TensorInfo]]:
    """The tensor tables as they are built: of types that a framework has."""
    return _OnDemand(repository, commit, lambda part: [_in_framework(tensor) for tensor in part.tensors])


def _in_framework(tensor: StoredTensor) -> TensorInfo:
    return TensorInfo(tensor.name, *framework_form(tensor.dtype, tensor.shape))


def load(
    repository: Repository,
    commit: Commit,
    *,
    select: str | None = None,
    part: str | None = None,
    device: Any = None,
    progress: Progress | None = None,
) -> Any:
    """The committed object, or what ``select`` or ``part`` picks of it, with its tensors on ``device``.

    A commit made from a file gives a dict of its tensors by name, quantised blocks as uint8 with one dimension more.
    NotFoundError lists near matches when nothing is selected; InvalidInputError for a device that cannot be used.
    """
    if select is not None and not isinstance(select, str):
        raise InvalidInputError(f"select is a pattern such as 'model/*', not {brief(select)}")
    if part is not None:
        commit.part_named(part)
    if device is not None:
        torch_build().check_device(device)
    with losses_of(commit):
        restoration = Restoration(skeletons(repository, commit), _built(repository, commit), select=select, part=part)
    with losses_of(commit):
        fetch(repository, _wanted(repository, commit, restoration), progress)
    return restoration.build(device)


def _wanted(
    repository: Repository, commit: Commit, restoration: Restoration
) -> Iterator[tuple[StoredTensor, IntoMemory]]:
    for (part, index), memory in restoration.destinations.items():
        yield repository.manifests.part(commit.part_named(part).id).tensors[index], IntoMemory(memory)
