"""A commit's leaves by name, with the stored tensor behind each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.checkout.load import skeletons, tables
from deltackpt.errors import NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.skeleton.leaves import TensorLeaf, ValueLeaf, leaves
from deltackpt.skeleton.nodes import Mapping, Tree
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.tags import Tag
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """A tensor under one of its names. ``dtype`` and ``shape`` are the leaf's own; ``stored`` holds its bytes.

    Tied names are several of these on one stored tensor.
    """

    name: str
    part: str
    dtype: DType
    shape: tuple[int, ...]
    leaf: TensorLeaf
    stored: StoredTensor

    @property
    def nbytes(self) -> int:
        count = self.dtype.itemsize
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, slots=True)
class PartLeaves:
    """One part of a commit, listed. ``modules`` are the paths of all modules, when it is a module's state dict."""

    tensors: tuple[NamedTensor, ...]
    values: tuple[ValueLeaf, ...]
    modules: tuple[str, ...] | None = None


def part_leaves(repository: Repository, commit: Commit, part: str) -> PartLeaves:
    """Everything in ``part`` by name; NotFoundError lists the parts there are."""
    commit.part_named(part)
    infos = tables(repository, commit)
    tensors: list[NamedTensor] = []
    values: list[ValueLeaf] = []
    skeleton = read_skeleton(skeletons(repository, commit)[part], part)
    for leaf in leaves(skeleton):
        if isinstance(leaf, TensorLeaf):
            tensors.append(NamedTensor(leaf.name, part, *leaf.form(infos), leaf, _stored(repository, commit, leaf)))
        else:
            values.append(leaf)
    return PartLeaves(tuple(tensors), tuple(values), _modules(skeleton.tree))


def _modules(tree: Tree) -> tuple[str, ...] | None:
    """The keys of a state dict's ``_metadata``, which has an entry for every module."""
    if not isinstance(tree, Mapping) or tree.tag is not Tag.STATE_DICT or not isinstance(tree.metadata, Mapping):
        return None
    return tuple(key for key in tree.metadata.keys if isinstance(key, str))


def _stored(repository: Repository, commit: Commit, leaf: TensorLeaf) -> StoredTensor:
    entry = commit.part_named(leaf.reference.part)
    held = repository.manifests.part(entry.id).tensors
    if leaf.reference.index >= len(held):
        raise NotFoundError(f"tensor {leaf.name!r} is not in the table of its part; run `deltackpt verify`")
    return held[leaf.reference.index]


def named_tensors(repository: Repository, commit: Commit, part: str | None = None) -> Iterator[NamedTensor]:
    """The tensors of one part, or of all."""
    for name in [part] if part is not None else [entry.name for entry in commit.parts]:
        yield from part_leaves(repository, commit, name).tensors
