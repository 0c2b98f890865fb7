"""What a store did to its folder, call by call, and every folder that a power loss could have left of it.

Two models of a file system. *Strict* is what POSIX promises and no more: bytes that were not synced may be
missing, torn or zero; a name that its directory's sync does not cover may be there or not, each by itself.
*Journal* is what ext4 and xfs do: names change in order, and any sync makes all earlier changes of names durable.
"""

from __future__ import annotations

import enum
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, product
from typing import Any

from deltackpt.fs.disk import Buffer, Disk

SECTOR = 512

Tree = Mapping[str, bytes | None]
"""Paths below the root with their bytes; a folder is None."""


class Model(enum.Enum):
    STRICT = enum.auto()
    JOURNAL = enum.auto()


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes appended to a file."""

    file: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Synced:
    """A file's bytes are durable."""

    file: int


@dataclass(frozen=True, slots=True)
class Rotted:
    """A file that was durable holds other bytes now."""

    file: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a folder now stands for a file, for the folder of that path, or for nothing."""

    folder: str
    name: str
    target: int | str | None


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """A folder's names are durable."""

    folder: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The caller was told that the store is in this state."""

    state: object


Step = Written | Synced | Rotted | Named | FolderSynced | Acknowledged


class RecordingDisk(Disk):
    """Does what it is asked to and remembers it. ``root`` is the folder whose crashes are simulated."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.steps: list[Step] = []
        self._files: dict[int, int] = {}
        self._names: dict[str, int] = {}
        # Folders by their paths; one that was renamed goes on by the path that it had first.
        self._folders: dict[str, str] = {root: root}
        self._numbers = count(1)

    def acknowledge(self, state: object) -> None:
        self.steps.append(Acknowledged(state))

    def rot(self, path: str, at: int) -> None:
        """Flip every bit of the byte at ``at`` of a file."""
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            data[at] ^= 0xFF
            file.seek(0)
            file.write(data)
        self.steps.append(Rotted(self._names[path], bytes(data)))

    def create(self, path: str) -> int:
        fd = super().create(path)
        self._files[fd] = self._names[path] = next(self._numbers)
        self._named(path, self._names[path])
        return fd

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        super().write(fd, pieces, path)
        self.steps.append(Written(self._files[fd], b"".join(bytes(piece) for piece in pieces)))

    def sync(self, fd: int, path: str) -> None:
        super().sync(fd, path)
        if fd in self._files:
            self.steps.append(Synced(self._files[fd]))

    def close(self, fd: int, path: str) -> None:
        self._files.pop(fd, None)
        super().close(fd, path)

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self.steps.append(FolderSynced(self._folders.get(path, path)))

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        known: dict[str, Any] = self._folders if source in self._folders else self._names
        known[target] = known.pop(source)
        for path in [path for path in self._names if path.startswith(f"{source}/")]:
            self._names[target + path.removeprefix(source)] = self._names.pop(path)
        self._named(target, known[target])
        self._named(source, None)

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self._names[target] = self._names[source]
        self._named(target, self._names[target])

    def unlink(self, path: str) -> None:
        super().unlink(path)
        if self._names.pop(path, None) is not None:
            self._named(path, None)

    def make_directory(self, path: str) -> None:
        super().make_directory(path)
        if path not in self._folders:
            self._folders[path] = path
            self._named(path, path)

    def remove_directory(self, path: str) -> None:
        super().remove_directory(path)
        if self._folders.pop(path, None) is not None:
            self._named(path, None)

    def _named(self, path: str, target: int | str | None) -> None:
        folder, name = os.path.split(path)
        self.steps.append(Named(self._folders.get(folder, folder), name, target))


@dataclass(slots=True)
class Volume:
    """What is durable after some steps, and what is not yet."""

    root: str
    model: Model
    files: dict[int, bytes] = field(default_factory=dict)
    unsynced: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, dict[str, int | str]] = field(default_factory=dict)
    pending: list[Named] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        match step:
            case Written(file, data):
                self.unsynced[file] = self.unsynced.get(file, b"") + data
            case Synced(file):
                self.files[file] = self.files.get(file, b"") + self.unsynced.pop(file, b"")
                self._settle(None)
            case FolderSynced(folder):
                self._settle(folder)
            case Rotted(file, data):
                self.files[file] = data
            case Named():
                self.pending.append(step)

    def _settle(self, folder: str | None) -> None:
        """Make names durable: those of ``folder``, or with a journal all of them."""
        everything = self.model is Model.JOURNAL
        for change in self.pending:
            if everything or change.folder == folder:
                _change(self.names, change)
        self.pending = [c for c in self.pending if not everything and c.folder != folder]

    def crashes(self, bound: int, tears: int, seed: int) -> Iterator[Tree]:
        """At most ``bound`` trees that may be found when the power fails now; which ones depends on ``seed`` alone.

        Bytes that were not synced are torn at ``tears`` places.
        """
        chance = random.Random(seed)
        choices = product(self._surviving_names(bound, chance), list(self._surviving_bytes(bound, tears)))
        for names, data in islice(choices, bound):
            yield self._tree(names, data)

    def _surviving_names(self, bound: int, chance: random.Random) -> list[dict[str, dict[str, int | str]]]:
        late = len(self.pending)
        if self.model is Model.JOURNAL:
            kept = [tuple(i < length for i in range(late)) for length in range(late, -1, -1)]
        elif 1 << late <= bound:
            kept = list(product((True, False), repeat=late))
        else:
            edges = [(True,) * late, (False,) * late]
            kept = edges + [tuple(chance.random() < 0.5 for _ in range(late)) for _ in range(bound - 2)]
        found = []
        for choice in kept:
            names = {folder: dict(entries) for folder, entries in self.names.items()}
            for change, survives in zip(self.pending, choice, strict=True):
                if survives:
                    _change(names, change)
            found.append(names)
        return found

    def _surviving_bytes(self, bound: int, tears: int) -> Iterator[dict[int, bytes]]:
        fates = [[(file, data) for data in _fates(late, tears)] for file, late in self.unsynced.items()]
        for choice in islice(product(*fates), bound):
            yield {file: self.files.get(file, b"") + late for file, late in choice}

    def _tree(self, names: Mapping[str, Mapping[str, int | str]], data: Mapping[int, bytes]) -> Tree:
        tree: dict[str, bytes | None] = {}
        pending = [(self.root, self.root)]
        while pending:
            place, folder = pending.pop()
            for name, target in names.get(folder, {}).items():
                path = os.path.join(place, name)
                if isinstance(target, str):
                    tree[os.path.relpath(path, self.root)] = None
                    pending.append((path, target))
                else:
                    content = data.get(target, self.files.get(target, b""))
                    tree[os.path.relpath(path, self.root)] = content
        return tree


def _change(names: dict[str, dict[str, int | str]], change: Named) -> None:
    entries = names.setdefault(change.folder, {})
    if change.target is None:
        entries.pop(change.name, None)
    else:
        entries[change.name] = change.target


def _fates(late: bytes, tears: int) -> list[bytes]:
    """What may be left of bytes that were not synced: all, nothing, zeros, a beginning, all but a sector."""
    found = [late, b"", bytes(len(late))]
    for at in range(0, len(late), max(SECTOR, len(late) // max(tears, 1) // SECTOR * SECTOR)):
        hole = bytes(min(SECTOR, len(late) - at))
        found += [late[:at], late[:at] + hole + late[at + SECTOR :]]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Crash:
    """A folder after a crash: what the caller knew then, what it would have heard next, and the model."""

    tree: Tree
    known: object
    next: object
    model: Model


def crashes(root: str, steps: Sequence[Step], bound: int, tears: int, seed: int = 0) -> Iterator[Crash]:
    """The crashes at every step, at most ``bound`` for each step and model."""
    heard = [(at, step.state) for at, step in enumerate(steps) if isinstance(step, Acknowledged)]
    for model in Model:
        volume = Volume(root, model)
        for at, step in enumerate(steps):
            volume.apply(step)
            known = next((state for when, state in reversed(heard) if when <= at), None)
            following = next((state for when, state in heard if when > at), known)
            for tree in volume.crashes(bound, tears, seed * 1_000_003 + at):
                yield Crash(tree, known, following, model)
