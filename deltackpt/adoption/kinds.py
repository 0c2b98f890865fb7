"""What the folders of a run are.

A folder *is* a checkpoint, *holds* checkpoints, or is neither:

* it is one when a file in it says so (``.metadata``), when its name has a step, and when weights lie in it;
* it holds some when names in it have steps or epochs: ``checkpoint-500/``, ``ckpt_7.safetensors``. A folder
  with a step in its own name may hold one (DeepSpeed's, in a checkpoint of the Trainer), not two;
* else what is in the folders below it decides.

What was imported and removed still counts, so that a run whose checkpoints are gone does not look like a model.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from deltackpt.adoption.names import has_weights_suffix, holds_weights, is_beside, last_number, numbers_of
from deltackpt.chunkstore.layout import Layout
from deltackpt.content.roles import MODEL, ROOT, role_of
from deltackpt.errors import StorageError
from deltackpt.formats.wording import shown_path

_MAX_DEPTH = 8
_MAX_LOOKED_AT = 10_000

# Files by which tools know a whole checkpoint: DCP and Megatron, Orbax, zarr, Diffusers, TensorFlow's SavedModel.
_MARKS = frozenset(
    (
        *(".metadata", "_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"),
        *("zarr.json", ".zgroup", ".zattrs", "model_index.json", "saved_model.pb"),
    )
)
_RANK = re.compile(r"(?i)(?:mp_|tp_|pp_)?rank[-_]?\d+")

TENSORFLOW = re.compile(r"(?P<stem>.+)\.(?:index|meta|data-\d+-of-\d+)", re.DOTALL)
"""The files of a TensorFlow checkpoint, which is called by what their names have in common."""

Numbers = tuple[int | None, float | None]
"""A step and an epoch."""


class Kind(Enum):
    """What a folder is."""

    CHECKPOINT = auto()
    HOLDER = auto()
    NEITHER = auto()


@dataclass(frozen=True, slots=True)
class Kinds:
    """Tells kinds of folders. ``gone`` are absolute paths of checkpoints that stood there once."""

    gone: frozenset[str] = frozenset()

    def of(self, folder: str, depth: int = 0) -> Kind:
        """What the folder at ``folder`` is; a store, and what lies eight folders deep, is neither."""
        if depth > _MAX_DEPTH or os.path.isfile(Layout(folder).facts):
            return Kind.NEITHER
        name, names = os.path.basename(os.path.abspath(folder)), names_in(folder)
        if self._held_some(folder):
            return Kind.HOLDER
        if not _MARKS.isdisjoint(names):
            return Kind.CHECKPOINT
        own = numbers_of(name)
        weights = [n for n in names if holds_weights(os.path.join(folder, n))]
        inside = _numbers_inside(folder, names, weights)
        if inside and not _is_one(own, inside):
            return Kind.HOLDER
        if weights or (own is not None and _has_weights(folder)):
            return Kind.CHECKPOINT
        return self._by_folders(folder, names, depth)

    def _by_folders(self, folder: str, names: Iterable[str], depth: int) -> Kind:
        below = [path for name in names if is_folder(path := os.path.join(folder, name))]
        kinds = {path: self.of(path, depth + 1) for path in below}
        if any(kind is Kind.CHECKPOINT and _RANK.fullmatch(os.path.basename(path)) for path, kind in kinds.items()):
            return Kind.CHECKPOINT
        return Kind.HOLDER if any(kind is not Kind.NEITHER for kind in kinds.values()) else Kind.NEITHER

    def _held_some(self, folder: str) -> bool:
        """Whether checkpoints that are gone stood in ``folder``, or below it."""
        inside = os.path.join(os.path.realpath(folder), "")
        return any(path.startswith(inside) for path in self.gone)

    def had_folders(self, folder: str) -> bool:
        """Whether some that stood right in ``folder`` were folders with steps in their names."""
        real = os.path.realpath(folder)
        names = [os.path.basename(path) for path in self.gone if os.path.dirname(path) == real]
        return any(numbers_of(name) is not None and not has_weights_suffix(name) for name in names)


def names_in(folder: str) -> list[str]:
    """The names in a folder, in order. StorageError when it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise StorageError(f"{shown_path(folder)}: cannot be read: {error.strerror}") from error


def _numbers_inside(folder: str, names: Iterable[str], weights: list[str]) -> set[Numbers]:
    """The steps and epochs of checkpoints right in a folder. Those of files are none beside ``optimizer.pt``."""
    folders = [n for n in names if numbers_of(n) is not None and not is_beside(n)]
    folders = [n for n in folders if os.path.isdir(path := os.path.join(folder, n)) and _has_weights(path)]
    prefixes = {match["stem"] for n in names if (match := TENSORFLOW.fullmatch(n))}
    alone = any(role_of(n) not in (ROOT, MODEL) and math.isinf(last_number(n)) for n in weights)
    files = [] if alone else [*weights, *prefixes]
    return {numbers for n in [*folders, *files] if (numbers := numbers_of(n)) is not None}


def _is_one(own: Numbers | None, inside: set[Numbers]) -> bool:
    """Whether a folder with ``own`` numbers in its name is one checkpoint, for all the numbers inside."""
    return own is not None and len(inside) == 1 and (own[0] is not None or next(iter(inside))[0] is None)


def _has_weights(folder: str) -> bool:
    """Whether weights, or the mark of a whole checkpoint, lie anywhere below, among the first files looked at."""
    for count, path in enumerate(_files_below(folder)):
        if os.path.basename(path) in _MARKS or holds_weights(path) or TENSORFLOW.fullmatch(path):
            return True
        if count >= _MAX_LOOKED_AT:
            return False
    return False


def _files_below(folder: str) -> Iterator[str]:
    for at, _, files in os.walk(folder):
        yield from (os.path.join(at, name) for name in sorted(files))


def is_folder(path: str) -> bool:
    """Whether a folder stands at ``path`` in which checkpoints may be."""
    return os.path.isdir(path) and not is_pointer(path) and not is_beside(os.path.basename(path))


def is_pointer(path: str) -> bool:
    """Whether a link leads to something beside it, such as ``last.ckpt`` to the newest, or to nothing."""
    if not os.path.islink(path):
        return False
    real, above = os.path.realpath(path), os.path.realpath(os.path.dirname(path) or ".")
    return not os.path.exists(real) or os.path.dirname(real) == above
