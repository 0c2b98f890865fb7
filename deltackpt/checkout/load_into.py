"""Loading into tensors that are in use already, such as a live model's."""

from __future__ import annotations

from typing import Any

from deltackpt.checkout.leaves import part_leaves
from deltackpt.checkout.load import tables
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.errors import CorruptError, DeltackptError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.skeleton.pairing import Pair, pair


class PartlyLoadedError(CorruptError):
    """Loading stopped half way. ``replaced`` names the tensors that hold their new values; the others are as before."""

    def __init__(self, message: str, replaced: list[str]) -> None:
        super().__init__(message)
        self.replaced = replaced


def load_into(
    repository: Repository, target: Any, commit: Commit, *, part: str | None = None, strict: bool = True
) -> list[str]:
    """Overwrite the tensors within ``target`` with those of ``part`` (or of the whole state); returns their names.

    Each tensor is decoded and hashed in scratch memory before it is copied, so none is ever half replaced.
    PairingError lists what does not fit, before anything is changed; PartlyLoadedError names what was replaced
    when a later tensor cannot be read.
    """
    names = [part] if part is not None else [entry.name for entry in commit.parts]
    listed = [part_leaves(repository, commit, name) for name in names]
    leaves = [tensor.leaf for held in listed for tensor in held.tensors]
    stored = {tensor.name: tensor.stored for held in listed for tensor in held.tensors}
    pairs = pair(target, leaves, tables(repository, commit), part=part or "", strict=strict)
    replaced: list[str] = []
    for one in pairs:
        try:
            _replace(repository, one, stored[one.name])
        except DeltackptError as error:
            raise _partly(error, replaced) from error
        replaced.append(one.name)
    return replaced


def _replace(repository: Repository, one: Pair, stored: StoredTensor) -> None:
    if one.view is None:
        one.replace(memoryview(read_range(repository, stored, 0, stored.nbytes)))
    else:
        one.replace(read_window(repository, stored, one.view))


def _partly(error: DeltackptError, replaced: list[str]) -> PartlyLoadedError:
    done = (
        f"{len(replaced)} tensors were replaced already, up to {replaced[-1]!r}" if replaced else "nothing was replaced"
    )
    return PartlyLoadedError(f"{error}; {done}", replaced)
