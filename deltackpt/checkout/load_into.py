"""Loading into tensors that are in use already, such as a live model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.checkout.load import tables
from deltackpt.checkout.losses import losses_of
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.errors import CorruptError, DeltackptError, brief
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository
from deltackpt.skeleton.pairing import pair, settle

Progress = Callable[[int], None]


class PartlyLoadedError(CorruptError):
    """Loading stopped half way. ``replaced`` names the tensors that hold their new values; the others are as before."""

    def __init__(self, message: str, replaced: list[str]) -> None:
        super().__init__(message)
        self.replaced = replaced


def load_into(
    repository: Repository,
    target: Any,
    commit: Commit,
    *,
    part: str | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> list[str]:
    """Overwrite the tensors within ``target`` with those of ``part`` (or of the whole state); returns their names.

    Each tensor is decoded and hashed in scratch memory before it is copied, so none is ever half replaced, and memory
    for the largest of them is needed. PairingError lists what does not fit, before anything is changed;
    PartlyLoadedError names what was replaced when a later tensor cannot be read or written.
    """
    with losses_of(commit):
        stored = {tensor.name: tensor for tensor in named_tensors(repository, commit, part)}
    leaves = [tensor.leaf for tensor in stored.values()]
    pairs = pair(target, leaves, tables(repository, commit), part=part or "", strict=strict)
    replaced: list[str] = []
    for one in pairs:
        try:
            with losses_of(commit):
                one.replace(_plain(repository, stored[one.name]))
        except DeltackptError as error:
            raise _partly(str(error), replaced) from error
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise _partly(f"tensor {one.name!r} could not be copied: {brief(error)}", replaced) from error
        replaced.append(one.name)
        if progress is not None:
            progress(stored[one.name].nbytes)
    settle(target)
    return replaced


def _plain(repository: Repository, tensor: NamedTensor) -> memoryview:
    view = tensor.leaf.view
    if view is None:
        return read_range(repository, tensor.stored, 0, tensor.stored.nbytes)
    return read_window(repository, tensor.stored, view)


def _partly(reason: str, replaced: list[str]) -> PartlyLoadedError:
    done = (
        f"{len(replaced)} tensors were replaced already, up to {replaced[-1]!r}" if replaced else "nothing was replaced"
    )
    return PartlyLoadedError(f"{reason}; {done}", replaced)
