"""The tensors of a commit, to be converted."""

from __future__ import annotations

from functools import partial

from deltackpt.checkout.export import Names, named
from deltackpt.checkout.leaves import NamedTensor, part_leaves
from deltackpt.checkout.load import skeletons
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.convert.beside import config_in_commit
from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.gathered import Gathered
from deltackpt.convert.held import held_in_commit
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository


def state_of_commit(
    repository: Repository, commit: Commit, part: str | None = None, names: Names = "module"
) -> FlatState:
    """Every tensor, or those of one ``part``, named as a checkout names them."""
    found = Gathered(part)
    for name, tensor in named(repository, commit, part, names):
        found.add_tensor(tensor.leaf, FlatTensor(name, tensor.dtype, tensor.shape, partial(_read, repository, tensor)))
    for entry in commit.parts if part is None else [commit.part_named(part)]:
        for leaf in part_leaves(repository, commit, entry.name).values:
            found.add_value(leaf.name.removeprefix(f"{part}/"), leaf.value)
    files, config = held_in_commit(repository, commit), partial(config_in_commit, repository, commit)
    return found.state(files, commit.description, skeletons(repository, commit), config)


def _read(repository: Repository, tensor: NamedTensor) -> memoryview:
    if tensor.leaf.view is None:
        return read_range(repository, tensor.stored, 0, tensor.nbytes)
    return read_window(repository, tensor.stored, tensor.leaf.view)
