"""From files that were read to the parts of a commit: rows, states, skeletons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deltackpt.content.arrangement import AT_THE_TOP, PartStates, Placements, root_of, skeleton_of, split
from deltackpt.content.content import ContentPart
from deltackpt.content.described import Described
from deltackpt.content.file_state import FileState, file_state
from deltackpt.content.flat import flat_dict
from deltackpt.content.layout import Home, home_alone
from deltackpt.content.named_state import inner_parts
from deltackpt.content.roles import ROLES, ROOT
from deltackpt.content.shelved import Shelved, shelve
from deltackpt.content.table import Row, Tables
from deltackpt.history.objects import FilesSkeleton, Note, encode
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.nodes import TensorNode, Tree
from deltackpt.skeleton.tags import Tag
from deltackpt.tensor.source import TensorSource


@dataclass(frozen=True, slots=True)
class Stated:
    """A file whose bytes have their places. ``part`` is the one that its entry stands in.

    ``key`` is where its state stands in that of the part, None for nowhere; ``unread`` is what was not understood.
    """

    file: Shelved
    part: str
    key: str | None
    unread: tuple[Note, ...]

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is said of the file; waits until its checksums are compared."""
        described = self.file.described
        # A reader that lists its tensors says more of those that are not there.
        said = (described.warning, None if described.reading.unread else described.absent)
        return (*(str(one) for one in said if one is not None), *self.unread)


@dataclass(slots=True)
class Assembly:
    """``trees`` are the states of the parts, the root's first, once files were taken in."""

    trees: dict[str, Tree] = field(default_factory=dict)
    _tables: Tables = field(default_factory=Tables)
    _placements: Placements = field(default_factory=Placements)

    def alone(self, file: Described) -> Stated:
        """Take in a file that is committed by itself."""
        stated = self._taken_in(file, inner_parts(file))
        if not self._tables.parts <= self.trees.keys():
            # Its state is not what its keys promised, but tensors by name: there are no parts.
            self._tables, self._placements = Tables(), Placements()
            stated = self._taken_in(file, ())
        return stated

    def _taken_in(self, file: Described, inner: Iterable[str]) -> Stated:
        home = home_alone(inner)
        (shelved,) = self._shelved([file], {file.path: home})
        found = self._state(shelved, home)
        tree = MappingNode(Tag.DICT, [], []) if found.tree is None else found.tree
        root, parts = split(tree, home.inner)
        self.trees = {ROOT: root, **parts}
        return Stated(shelved, ROOT, AT_THE_TOP, _unread(file, found, home))

    def folder(self, files: Sequence[Described], homes: Mapping[str, Home]) -> list[Stated]:
        """Take in the files of a folder."""
        shelved = self._shelved(files, homes)
        states: dict[str, PartStates] = {}
        unread = [self._stated(file, homes[file.described.path], states) for file in shelved]
        used = {home.part for home in homes.values()} | states.keys() | self._tables.parts
        keys: dict[str, str] = {}
        for part in (role for role in ROLES if role != ROOT and role in used):
            self.trees[part], found = states.get(part, PartStates()).arranged()
            keys |= found
        root, found = root_of(states.get(ROOT, PartStates()), self.trees)
        self.trees = {ROOT: root, **self.trees}
        keys |= found
        return [
            Stated(file, homes[file.described.path].part, keys.get(file.described.path), not_understood)
            for file, not_understood in zip(shelved, unread, strict=True)
        ]

    def part(self, name: str, files: FilesSkeleton | None) -> ContentPart:
        """A part as it goes into the commit, with the files that stand in it."""
        skeleton = skeleton_of(name, self.trees[name], self._tables, self._placements)
        return ContentPart(name, skeleton, b"" if files is None else encode(files), self._tables.of(name))

    def _shelved(self, files: Sequence[Described], homes: Mapping[str, Home]) -> list[Shelved]:
        shelved = [shelve(file, self._tables, homes[file.path]) for file in files]
        self._tables.number()
        return shelved

    def _state(self, file: Shelved, home: Home) -> FileState:
        def add(name: str, source: TensorSource) -> Row:
            return self._tables.add(*home.place(name), source)

        found = file_state(file, add)
        self._placements.add(found.placements)
        return found

    def _stated(self, file: Shelved, home: Home, states: dict[str, PartStates]) -> tuple[Note, ...]:
        """Note the state of a file in those of its parts; what of the file was not understood."""
        found = self._state(file, home)
        path, own_key = file.described.path, home.literals.removeprefix(f"{home.part}/")
        if home.role is not None:
            for part, named in _by_part(file, home).items():
                key = home.key if part == ROOT else AT_THE_TOP
                tree = flat_dict(file.described.reading.format, named)
                states.setdefault(part, PartStates()).add(path, key, own_key, tree)
        elif found.tree is not None and home.shared is not None:
            own, others = home.shared.apart(found.tree)
            states.setdefault(home.part, PartStates()).add(path, home.key, own_key, own)
            for part, tree in others.items():
                states.setdefault(part, PartStates()).add(path, home.shared.key, own_key, tree)
        elif found.tree is not None:
            bare = isinstance(found.tree, TensorNode)
            by_name = flat_dict(file.described.reading.format, file.by_name) if bare else None
            states.setdefault(home.part, PartStates()).add(path, home.key, own_key, found.tree, by_name)
        return _unread(file.described, found, home)


def _by_part(file: Shelved, home: Home) -> dict[str, list[tuple[str, Row]]]:
    """Rows by their names within the state of the file's share in each part."""
    found: dict[str, list[tuple[str, Row]]] = {}
    for name, row in file.by_name:
        part, full = home.place(name)
        own = name if part == ROOT else full.removeprefix(f"{part}/")
        found.setdefault(part, []).append((own, row))
    return found


def _unread(file: Described, state: FileState, home: Home) -> tuple[Note, ...]:
    return tuple((home.place(one.name)[1].rstrip("/"), one.what) for one in (*file.reading.unread, *state.unread))
