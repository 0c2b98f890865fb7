"""The tensors of a commit, to be converted."""

from __future__ import annotations

from functools import partial

from deltackpt.checkout.export import Names, named
from deltackpt.checkout.leaves import NamedTensor, part_leaves
from deltackpt.checkout.load import skeletons
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.convert.beside import config_in_commit
from deltackpt.convert.flat import FlatState, FlatTensor, Origin, Whole
from deltackpt.convert.gguf_keys import keys_in_commit
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository


def state_of_commit(
    repository: Repository, commit: Commit, part: str | None = None, names: Names = "module"
) -> FlatState:
    """Every tensor, or those of one ``part``, named as a checkout names them."""
    tensors = []
    values: dict[str, object] = {}
    large = []
    for name, tensor in named(repository, commit, part, names):
        flat = FlatTensor(name, tensor.dtype, tensor.shape, partial(_read, repository, tensor))
        if tensor.leaf.is_value:
            values[name] = tensor.leaf.node
            large.append(flat)
        else:
            tensors.append(flat)
    for entry in commit.parts if part is None else [commit.part_named(part)]:
        for leaf in part_leaves(repository, commit, entry.name).values:
            values[leaf.name.removeprefix(f"{part}/")] = leaf.value
    origin = Origin(partial(keys_in_commit, repository, commit, part), partial(config_in_commit, repository, commit))
    whole = Whole(skeletons(repository, commit), tuple(large)) if part is None else None
    return FlatState(tuple(tensors), values, origin=origin, whole=whole)


def _read(repository: Repository, tensor: NamedTensor) -> memoryview:
    if tensor.leaf.view is None:
        return read_range(repository, tensor.stored, 0, tensor.nbytes)
    return read_window(repository, tensor.stored, tensor.leaf.view)
