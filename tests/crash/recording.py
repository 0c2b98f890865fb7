"""What a store did to its folder, call by call, and every folder that a power loss could have left of it.

Two models of a file system. *Strict* is what POSIX promises and no more: bytes that were not synced may be
missing, torn or zero; a name that its directory's sync does not cover may be there or not, each by itself.
*Journal* is what ext4 and xfs do: names change in order, and any sync makes all earlier changes of names durable.
"""

from __future__ import annotations

import enum
import os
import random
from collections import Counter
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
    """Bytes written to a file at an offset."""

    file: int
    offset: int
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


class Recorder:
    """Turns calls, told by path, into steps. ``root`` is the folder whose crashes are simulated."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.steps: list[Step] = []
        self._names: dict[str, int] = {}
        # Folders by their paths; one that was renamed goes on by the path that it had first.
        self._folders: dict[str, str] = {root: root}
        self._numbers = count(1)

    def file(self, path: str) -> int | None:
        """The number of the file at ``path``, if it was created under these eyes."""
        return self._names.get(path)

    def created(self, path: str) -> int:
        self._names[path] = next(self._numbers)
        self._named(path, self._names[path])
        return self._names[path]

    def written(self, file: int, offset: int, data: bytes) -> None:
        self.steps.append(Written(file, offset, data))

    def synced(self, file: int) -> None:
        self.steps.append(Synced(file))

    def folder_synced(self, path: str) -> None:
        self.steps.append(FolderSynced(self._folders.get(path, path)))

    def renamed(self, source: str, target: str) -> None:
        known: dict[str, Any] = self._folders if source in self._folders else self._names
        known[target] = known.pop(source)
        for paths in (self._names, self._folders):
            for path in [path for path in paths if path.startswith(f"{source}/")]:
                paths[target + path.removeprefix(source)] = paths.pop(path)  # type: ignore[attr-defined]
        self._named(target, known[target])
        self._named(source, None)

    def linked(self, source: str, target: str) -> None:
        self._names[target] = self._names[source]
        self._named(target, self._names[target])

    def unlinked(self, path: str) -> None:
        if self._names.pop(path, None) is not None:
            self._named(path, None)

    def made_directory(self, path: str) -> None:
        if path not in self._folders:
            self._folders[path] = path
            self._named(path, path)

    def removed_directory(self, path: str) -> None:
        if self._folders.pop(path, None) is not None:
            self._named(path, None)

    def _named(self, path: str, target: int | str | None) -> None:
        folder, name = os.path.split(path)
        self.steps.append(Named(self._folders.get(folder, folder), name, target))


class RecordingDisk(Disk):
    """Does what it is asked to and remembers it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.recorder = Recorder(root)
        self.steps = self.recorder.steps
        self._files: dict[int, int] = {}
        self._sizes: Counter[int] = Counter()

    def acknowledge(self, state: object) -> None:
        self.steps.append(Acknowledged(state))

    def rot(self, path: str, at: int) -> None:
        """Flip every bit of the byte at ``at`` of a file."""
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            data[at] ^= 0xFF
            file.seek(0)
            file.write(data)
        number = self.recorder.file(path)
        assert number is not None
        self.steps.append(Rotted(number, bytes(data)))

    def create(self, path: str) -> int:
        fd = super().create(path)
        self._files[fd] = self.recorder.created(path)
        return fd

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        super().write(fd, pieces, path)
        data, file = b"".join(bytes(piece) for piece in pieces), self._files[fd]
        self.recorder.written(file, self._sizes[file], data)
        self._sizes[file] += len(data)

    def sync(self, fd: int, path: str) -> None:
        super().sync(fd, path)
        if fd in self._files:
            self.recorder.synced(self._files[fd])

    def close(self, fd: int, path: str) -> None:
        self._files.pop(fd, None)
        super().close(fd, path)

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self.recorder.folder_synced(path)

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self.recorder.renamed(source, target)

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self.recorder.linked(source, target)

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self.recorder.unlinked(path)

    def make_directory(self, path: str) -> None:
        super().make_directory(path)
        self.recorder.made_directory(path)

    def remove_directory(self, path: str) -> None:
        super().remove_directory(path)
        self.recorder.removed_directory(path)


@dataclass(slots=True)
class Volume:
    """What is durable after some steps, and what is not yet."""

    root: str
    model: Model
    files: dict[int, bytes] = field(default_factory=dict)
    unsynced: dict[int, list[Written]] = field(default_factory=dict)
    names: dict[str, dict[str, int | str]] = field(default_factory=dict)
    pending: list[Named] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        match step:
            case Written(file):
                self.unsynced[file] = _joined(self.unsynced.get(file, []), step)
            case Synced(file):
                self.files[file] = _laid(self.files.get(file, b""), self.unsynced.pop(file, []))
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
        fates = [
            [(file, content) for content in _fates(self.files.get(file, b""), late, tears)]
            for file, late in self.unsynced.items()
        ]
        yield from (dict(choice) for choice in islice(product(*fates), bound))

    def _tree(self, names: Mapping[str, Mapping[str, int | str]], data: Mapping[int, bytes]) -> Tree:
        tree: dict[str, bytes | None] = {}
        pending = [("", self.root)]
        while pending:
            place, folder = pending.pop()
            for name, target in names.get(folder, {}).items():
                path = place + name
                if isinstance(target, str):
                    tree[path] = None
                    pending.append((f"{path}/", target))
                else:
                    tree[path] = data.get(target, self.files.get(target, b""))
        return tree


def _change(names: dict[str, dict[str, int | str]], change: Named) -> None:
    entries = names.setdefault(change.folder, {})
    if change.target is None:
        entries.pop(change.name, None)
    else:
        entries[change.name] = change.target


def _joined(late: list[Written], new: Written) -> list[Written]:
    """Writes with one more; it goes on with the last one where that ended."""
    if late and late[-1].offset + len(late[-1].data) == new.offset:
        return [*late[:-1], Written(new.file, late[-1].offset, late[-1].data + new.data)]
    return [*late, new]


def _laid(durable: bytes, writes: Sequence[Written]) -> bytes:
    """A file after some writes; what lies between is zero."""
    content = bytearray(durable)
    for write in writes:
        content += bytes(max(0, write.offset - len(content)))
        content[write.offset : write.offset + len(write.data)] = write.data
    return bytes(content)


def _fates(durable: bytes, late: list[Written], tears: int) -> list[bytes]:
    """What a file may hold whose last writes were not synced: all, none, a beginning, all but some of one of them."""
    found = [_laid(durable, late), durable]
    for at, write in enumerate(late):
        found.append(_laid(durable, late[:at]))
        found += [_laid(durable, [*late[:at], *torn, *late[at + 1 :]]) for torn in _torn(write, tears)]
    return list(dict.fromkeys(found))


def _torn(write: Written, tears: int) -> Iterator[list[Written]]:
    """What may be left of a write: nothing, zeros, a beginning, all but a sector."""
    file, offset, data = write.file, write.offset, write.data
    yield []
    yield [Written(file, offset, bytes(len(data)))]
    for at in range(0, len(data), max(SECTOR, len(data) // max(tears, 1) // SECTOR * SECTOR)):
        hole = bytes(min(SECTOR, len(data) - at))
        yield [Written(file, offset, data[:at])]
        yield [Written(file, offset, data[:at] + hole + data[at + SECTOR :])]


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


def distinct(found: Iterator[Crash]) -> tuple[int, list[Crash]]:
    """How many crashes there are, and one for each folder and knowledge: the same folder need not be tried twice."""
    total = 0
    kept: dict[tuple[object, int, int], Crash] = {}
    for crash in found:
        total += 1
        kept.setdefault((frozenset(crash.tree.items()), id(crash.known), id(crash.next)), crash)
    return total, list(kept.values())


def sampled(found: Sequence[Crash], limit: int) -> list[Crash]:
    """At most ``limit`` of them, evenly over the store's life."""
    return [found[at * len(found) // limit] for at in range(limit)] if len(found) > limit else list(found)
