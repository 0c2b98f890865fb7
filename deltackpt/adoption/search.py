"""Finding checkpoints among what a run has left behind.

Files of a folder that holds checkpoints are put together by their names: those of a TensorFlow checkpoint, shards, and
a model with its optimizer. Beside folders of checkpoints, weights without a step are the final model, with what
describes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deltackpt.adoption.kinds import TENSORFLOW, Kind, Kinds, is_folder, is_pointer, names_in
from deltackpt.adoption.names import (
    apart_from_roles,
    has_weights_suffix,
    holds_weights,
    is_beside,
    numbers_of,
)
from deltackpt.fs.file_set import FileSet

_SHARDS = re.compile(r"(?P<stem>.+?)(?:[-_.]\d+-of-\d+\.\w+|\.(?:safetensors|bin)\.index\.json)", re.DOTALL)

# What Transformers and PEFT write beside the weights of a model, and need to load it.
_DESCRIPTIONS = re.compile(
    r"(?:(?:generation_|adapter_|preprocessor_|processor_|image_processor_|video_preprocessor_)?config\.json"
    r"|tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|spiece\.model|sentencepiece.*"
    r"|chat_template.*|trainer_state\.json|training_args\.bin)\Z",
    re.DOTALL,
)
_ARGUMENTS = "training_args.bin"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint stands: a file, a folder, or some files of a folder. ``path`` is what it is called."""

    path: str
    where: str | FileSet

    @property
    def is_file_set(self) -> bool:
        """Whether it is some files of a folder rather than all that stands at the path."""
        return isinstance(self.where, FileSet)

    @property
    def is_final(self) -> bool:
        """Whether it is the model that a run has left beside its checkpoints."""
        return isinstance(self.where, FileSet) and self.where.folder == self.path

    @property
    def folder(self) -> str:
        """The folder in which it stands."""
        return self.where.folder if isinstance(self.where, FileSet) else os.path.dirname(os.path.abspath(self.where))

    @property
    def members(self) -> tuple[str, ...]:
        """The names in that folder of what is part of it."""
        if isinstance(self.where, FileSet):
            return tuple(sorted(self.where.members))
        return (os.path.basename(os.path.abspath(self.where)),)

    @property
    def nbytes(self) -> int:
        """Bytes of all its files, as they are now; what is gone has none."""
        return sum(_bytes_at(os.path.join(self.folder, name)) for name in self.members)


@dataclass(slots=True)
class Search:
    """Checkpoints that were found, and paths that are none and are left as they are."""

    kinds: Kinds
    places: list[Place] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def look(self, folder: str, names: Iterable[str], depth: int = 0) -> None:
        """Find what is a checkpoint among ``names`` in ``folder`` and below; links stand for what they lead to."""
        files: list[str] = []
        among_folders = self.kinds.had_folders(folder)
        for name in names:
            path = os.path.join(folder, name)
            kind = self.kinds.of(path, depth) if is_folder(path) else Kind.NEITHER
            if os.path.isfile(path) and os.path.islink(path) and not is_pointer(path) and holds_weights(path):
                self._add(os.path.realpath(path))
            elif os.path.isfile(path) and not os.path.islink(path):
                files.append(name)
            elif kind is Kind.CHECKPOINT:
                self._add(os.path.realpath(path) if os.path.islink(path) else path)
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
        for stem, members in _with_roles_together(groups).items():
            self._take(folder, stem, members)
        self._take_final(folder, rest)

    def _take(self, folder: str, stem: str, members: list[str]) -> None:
        paths = [os.path.join(folder, name) for name in members]
        if members == [stem]:
            (self._add if holds_weights(paths[0]) else self.left.append)(paths[0])
        elif _is_whole(members):
            self.places.append(Place(os.path.join(folder, stem), FileSet(folder, stem, frozenset(members))))
        elif len(members) == 1 and holds_weights(paths[0]):
            self._add(paths[0])
        else:
            self.left += paths

    def _take_final(self, folder: str, names: list[str]) -> None:
        weights = {n for n in names if n != _ARGUMENTS and holds_weights(os.path.join(folder, n))}
        if weights:
            weights |= {n for n in names if _DESCRIPTIONS.match(n) or n.endswith(".index.json")}
            name = os.path.basename(os.path.abspath(folder))
            self.places.append(Place(folder, FileSet(folder, name, frozenset(weights))))
        self.left += [os.path.join(folder, name) for name in names if name not in weights]

    def _add(self, path: str) -> None:
        self.places.append(Place(path, path))


def _bytes_at(path: str) -> int:
    below = [os.path.join(at, name) for at, _, files in os.walk(path) for name in files]
    return sum(os.lstat(file).st_size for file in (path, *below) if os.path.isfile(file))


def _stem(name: str) -> str | None:
    """What the name of a file has in common with others of its checkpoint; None for one that stands alone."""
    match = TENSORFLOW.fullmatch(name) or _SHARDS.fullmatch(name)
    return None if match is None else match["stem"]


def _with_roles_together(groups: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The same, with files of one step that are told apart by what they are for in one group: model and optimizer."""
    found: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for stem, members in groups.items():
        if members == [stem] and numbers_of(stem) is not None and has_weights_suffix(stem):
            rest, roles = apart_from_roles(stem)
            found.setdefault(rest, {}).setdefault(roles, []).append(stem)
    together = {
        rest: sorted(name for names in by_role.values() for name in names)
        for rest, by_role in found.items()
        if len(by_role) > 1 and all(len(names) == 1 for names in by_role.values()) and numbers_of(rest) is not None
    }
    taken = {name for names in together.values() for name in names}
    return {stem: members for stem, members in groups.items() if stem not in taken} | together


def _is_whole(members: list[str]) -> bool:
    """Whether both tensors and what says where they are, or several shards, are there."""
    if any(map(TENSORFLOW.fullmatch, members)):
        return any(n.endswith(".index") for n in members) and any(".data-" in n for n in members)
    return len(members) > 1
