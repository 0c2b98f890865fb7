"""Finding checkpoints among what a run has left behind.

A folder *is* a checkpoint, *holds* checkpoints, or is neither:

* it is one when a file in it says so (``.metadata``), when its name has a step, and when weights lie in it;
* it holds some when names in it have steps or epochs: ``checkpoint-500/``, ``ckpt_7.safetensors``. A folder
  with a step in its own name may hold one (DeepSpeed's, in a checkpoint of the Trainer), not two;
* else what is in the folders below it decides.

Files of a folder that holds checkpoints are put together by their names: those of a TensorFlow checkpoint, and shards.
Beside folders of checkpoints, weights without a step are the final model, with what describes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from deltackpt.adoption.names import holds_weights, is_beside, numbers_of
from deltackpt.chunkstore.layout import Layout
from deltackpt.content.roles import MODEL, ROOT, role_of
from deltackpt.errors import StorageError
from deltackpt.formats.wording import shown_path
from deltackpt.fs.bundle import Bundle

_MAX_DEPTH = 8
_MAX_LOOKED_AT = 10_000

# Files by which tools know a whole checkpoint: DCP and Megatron, Orbax, zarr, Diffusers, TensorFlow's SavedModel.
_MARKS = frozenset(
    [
        ".metadata",
        "_METADATA",
        "_CHECKPOINT_METADATA",
        "manifest.ocdbt",
        "zarr.json",
        ".zgroup",
        ".zattrs",
        "model_index.json",
        "saved_model.pb",
    ]
)
_RANK = re.compile(r"(?i)(?:mp_|tp_|pp_)?rank[-_]?\d+")

# The files of one checkpoint, by what their names have in common.
_TENSORFLOW = re.compile(r"(?P<stem>.+)\.(?:index|meta|data-\d+-of-\d+)", re.DOTALL)
_SHARDS = re.compile(r"(?P<stem>.+?)(?:[-_.]\d+-of-\d+\.\w+|\.(?:safetensors|bin)\.index\.json)", re.DOTALL)

# What Transformers and PEFT write beside the weights of a model, and need to load it.
_DESCRIPTIONS = re.compile(
    r"(?:(?:generation_|adapter_|preprocessor_|processor_|image_processor_|video_preprocessor_)?config\.json"
    r"|tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|spiece\.model|sentencepiece.*"
    r"|chat_template.*|trainer_state\.json|training_args\.bin)\Z",
    re.DOTALL,
)
_ARGUMENTS = "training_args.bin"


class Kind(Enum):
    """What a folder is."""

    CHECKPOINT = auto()
    HOLDER = auto()
    NEITHER = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint stands: a file, a folder, or some files of a folder. ``path`` is what it is called."""

    path: str
    where: str | Bundle

    @property
    def is_bundle(self) -> bool:
        """Whether it is some files of a folder rather than all that stands at the path."""
        return isinstance(self.where, Bundle)

    @property
    def is_final(self) -> bool:
        """Whether it is the model that a run has left beside its checkpoints."""
        return isinstance(self.where, Bundle) and self.where.folder == self.path

    @property
    def folder(self) -> str:
        """The folder in which it stands."""
        return self.where.folder if isinstance(self.where, Bundle) else os.path.dirname(os.path.abspath(self.where))

    @property
    def members(self) -> tuple[str, ...]:
        """The names in that folder of what is part of it."""
        if isinstance(self.where, Bundle):
            return tuple(sorted(self.where.members))
        return (os.path.basename(os.path.abspath(self.where)),)


@dataclass(slots=True)
class Search:
    """Checkpoints that were found, and paths that are none and are left as they are."""

    places: list[Place] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def look(self, folder: str, names: Iterable[str], depth: int = 0) -> None:
        """Find what is a checkpoint among ``names`` in ``folder``, and below them."""
        files: list[str] = []
        among_folders = False
        for name in names:
            path = os.path.join(folder, name)
            kind = kind_of(path, depth) if _is_folder(path) else Kind.NEITHER
            if os.path.isfile(path) and not _is_pointer(path):
                files.append(name)
            elif kind is Kind.CHECKPOINT:
                self.places.append(Place(path, path))
                among_folders = among_folders or numbers_of(name) is not None
            elif kind is Kind.HOLDER:
                self.look(path, names_in(path), depth + 1)
            else:
                self.left.append(path)
        self._look_at_files(folder, files, final=among_folders)

    def _look_at_files(self, folder: str, names: Iterable[str], *, final: bool) -> None:
        """``final`` says that weights without a step are one model together."""
        groups: dict[str, list[str]] = {}
        rest: list[str] = []
        for name in names:
            stem = _stem(name)
            if final and numbers_of(name if stem is None else stem) is None:
                rest.append(name)
            elif is_beside(name):
                self.left.append(os.path.join(folder, name))
            else:
                groups.setdefault(name if stem is None else stem, []).append(name)
        for stem, members in groups.items():
            self._take(folder, stem, members)
        self._take_final(folder, rest)

    def _take(self, folder: str, stem: str, members: list[str]) -> None:
        paths = [os.path.join(folder, name) for name in members]
        if members == [stem]:
            (self._add_file if holds_weights(paths[0]) else self.left.append)(paths[0])
        elif _is_whole(members):
            self.places.append(Place(os.path.join(folder, stem), Bundle(folder, stem, frozenset(members))))
        elif len(members) == 1 and holds_weights(paths[0]):
            self._add_file(paths[0])
        else:
            self.left += paths

    def _take_final(self, folder: str, names: list[str]) -> None:
        weights = {n for n in names if n != _ARGUMENTS and holds_weights(os.path.join(folder, n))}
        if weights:
            weights |= {n for n in names if _DESCRIPTIONS.match(n) or n.endswith(".index.json")}
            name = os.path.basename(os.path.abspath(folder))
            self.places.append(Place(folder, Bundle(folder, name, frozenset(weights))))
        self.left += [os.path.join(folder, name) for name in names if name not in weights]

    def _add_file(self, path: str) -> None:
        self.places.append(Place(path, path))


def kind_of(folder: str, depth: int = 0) -> Kind:
    """What the folder at ``folder`` is; a store, and what lies eight folders deep, is neither."""
    if depth > _MAX_DEPTH or os.path.isfile(Layout(folder).facts):
        return Kind.NEITHER
    name, names = os.path.basename(os.path.abspath(folder)), names_in(folder)
    if not _MARKS.isdisjoint(names):
        return Kind.CHECKPOINT
    own = numbers_of(name)
    weights = [n for n in names if holds_weights(os.path.join(folder, n))]
    inside = _numbers_inside(folder, names, weights)
    if inside and not _is_one(own, inside):
        return Kind.HOLDER
    if weights or (own is not None and _has_weights(folder)):
        return Kind.CHECKPOINT
    return _by_folders(folder, names, depth)


def names_in(folder: str) -> list[str]:
    """The names in a folder, in order. StorageError when it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise StorageError(f"{shown_path(folder)}: cannot be read: {error.strerror}") from error


def _numbers_inside(folder: str, names: Iterable[str], weights: list[str]) -> set[tuple[int | None, float | None]]:
    """The steps and epochs of checkpoints right in a folder. Numbers of files are none beside an optimizer's."""
    folders = [n for n in names if numbers_of(n) is not None and not is_beside(n)]
    folders = [n for n in folders if os.path.isdir(path := os.path.join(folder, n)) and _has_weights(path)]
    prefixes = {match["stem"] for n in names if (match := _TENSORFLOW.fullmatch(n))}
    alone = any(role_of(n) not in (ROOT, MODEL) and numbers_of(n) is None for n in weights)
    files = [] if alone else [*weights, *prefixes]
    return {numbers for n in [*folders, *files] if (numbers := numbers_of(n)) is not None}


def _is_one(own: tuple[int | None, float | None] | None, inside: set[tuple[int | None, float | None]]) -> bool:
    """Whether a folder with ``own`` numbers in its name is one checkpoint, for all the numbers inside."""
    return own is not None and len(inside) == 1 and (own[0] is not None or next(iter(inside))[0] is None)


def _by_folders(folder: str, names: Iterable[str], depth: int) -> Kind:
    below = [path for name in names if _is_folder(path := os.path.join(folder, name))]
    kinds = {path: kind_of(path, depth + 1) for path in below}
    if any(kind is Kind.CHECKPOINT and _RANK.fullmatch(os.path.basename(path)) for path, kind in kinds.items()):
        return Kind.CHECKPOINT
    return Kind.HOLDER if any(kind is not Kind.NEITHER for kind in kinds.values()) else Kind.NEITHER


def _has_weights(folder: str) -> bool:
    """Whether weights, or the mark of a whole checkpoint, lie anywhere below, among the first files looked at."""
    for count, path in enumerate(_files_below(folder)):
        if os.path.basename(path) in _MARKS or holds_weights(path) or _TENSORFLOW.fullmatch(path):
            return True
        if count >= _MAX_LOOKED_AT:
            return False
    return False


def _files_below(folder: str) -> Iterator[str]:
    for at, _, files in os.walk(folder):
        yield from (os.path.join(at, name) for name in sorted(files))


def _stem(name: str) -> str | None:
    """What the name of a file has in common with others of its checkpoint; None for one that stands alone."""
    match = _TENSORFLOW.fullmatch(name) or _SHARDS.fullmatch(name)
    return None if match is None else match["stem"]


def _is_whole(members: list[str]) -> bool:
    """Whether both tensors and what says where they are, or several shards, are there."""
    if any(map(_TENSORFLOW.fullmatch, members)):
        return any(n.endswith(".index") for n in members) and any(".data-" in n for n in members)
    return len(members) > 1


def _is_folder(path: str) -> bool:
    """Whether a folder stands at ``path`` in which checkpoints may be."""
    return os.path.isdir(path) and not _is_pointer(path) and not is_beside(os.path.basename(path))


def _is_pointer(path: str) -> bool:
    """Whether a link leads to something beside it, such as ``last.ckpt`` to the newest, or to nothing."""
    if not os.path.islink(path):
        return False
    real, above = os.path.realpath(path), os.path.realpath(os.path.dirname(path) or ".")
    return not os.path.exists(real) or os.path.dirname(real) == above
