"""From chunks that cannot be had to the tensors of the commits that need them: all of them, not the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from deltackpt.errors import DeltackptError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import chunk_names
from deltackpt.history.objects import Group, GroupLayout, Part, decode, split_chunks
from deltackpt.ids import ChunkId
from deltackpt.maintenance.verify.contents import Contents
from deltackpt.maintenance.verify.report import Affected, Finding, Problem

T = TypeVar("T", bound=msgspec.Struct)
# By finding, the names of tensors; an empty name stands for the part itself.
_Losses = dict[int, dict[str, None]]


@dataclass(slots=True)
class Usage:
    """Walks the manifests of commits. A chunk that has no place at all becomes a finding on the way.

    Parts and groups that commits share are walked once. ``objects`` reads a stored one; chunks ``at_hand`` count as
    stored.
    """

    contents: Contents
    objects: Callable[[bytes], bytes]
    findings: list[Finding]
    at_hand: Set[ChunkId] = frozenset()
    _owners: dict[ChunkId, int] = field(init=False)
    _affects: list[list[Affected]] = field(init=False)
    _parts: dict[ChunkId, _Losses] = field(default_factory=dict)
    _groups: dict[ChunkId, _Losses] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owners = {chunk: at for at, finding in enumerate(self.findings) for chunk in finding.chunks}
        self._affects = [[] for _ in self.findings]

    def problems(self, commits: Sequence[Commit]) -> list[Problem]:
        """Every finding with what it affects, in the order of ``commits``."""
        for commit in commits:
            for at in (at for at, finding in enumerate(self.findings) if commit.id in finding.commits):
                self._affects[at].append(Affected(commit.id, commit.step, None))
            for part in commit.parts:
                for at, tensors in self._part(ChunkId(part.id)).items():
                    names = () if "" in tensors else tuple(tensors)
                    self._affects[at].append(Affected(commit.id, commit.step, part.name, names))
            for name, identity in commit.kept_beside.items():
                if (owner := self._owner(ChunkId(identity))) is not None:
                    self._affects[owner].append(Affected(commit.id, commit.step, None, (name,)))
        told = zip(self.findings, self._affects, strict=True)
        return [Problem(f.what, f.advice, tuple(affects)) for f, affects in told if affects or not f.declared]

    def _owner(self, chunk: ChunkId) -> int | None:
        """The finding by which a chunk is lost; a chunk without a place makes a new one."""
        if chunk not in self._owners and chunk not in self.contents.in_use and chunk not in self.at_hand:
            self._add(Finding(f"chunk {chunk.short} is in no pack", chunks=frozenset((chunk,))), chunk)
        return self._owners.get(chunk)

    def _add(self, finding: Finding, chunk: ChunkId) -> int:
        self._owners[chunk] = len(self.findings)
        self.findings.append(finding)
        self._affects.append([])
        return self._owners[chunk]

    def _part(self, identity: ChunkId) -> _Losses:
        if identity not in self._parts:
            lost: _Losses = {}
            for at, tensor in self._lost_of_part(identity):
                lost.setdefault(at, {})[tensor] = None
            self._parts[identity] = lost
        return self._parts[identity]

    def _lost_of_part(self, identity: ChunkId) -> Iterator[tuple[int, str]]:
        part = self._object(identity, Part)
        if isinstance(part, int):
            yield part, ""
            return
        yield from ((owner, "") for owner in map(self._owner, part.skeletons) if owner is not None)
        for group in map(ChunkId, part.groups):
            if group not in self._groups:
                lost: _Losses = {}
                for at, tensor in self._lost_of_group(group):
                    lost.setdefault(at, {})[tensor] = None
                self._groups[group] = lost
            yield from ((at, tensor) for at, tensors in self._groups[group].items() for tensor in tensors)

    def _lost_of_group(self, identity: ChunkId) -> Iterator[tuple[int, str]]:
        group = self._object(identity, Group)
        if isinstance(group, int):
            yield group, ""
            return
        owners = [self._owner(chunk) for chunk in split_chunks(group.chunks)]
        layout = self._object(ChunkId(group.layout), GroupLayout) if any(at is not None for at in owners) else None
        if isinstance(layout, int):
            yield layout, ""
        elif layout is not None:
            named = zip(owners, chunk_names(group, layout), strict=False)
            yield from ((at, name) for at, name in named if at is not None)
        elif (owner := self._owner(ChunkId(group.layout))) is not None:
            yield owner, ""

    def _object(self, identity: ChunkId, kind: type[T]) -> T | int:
        """A stored object, or the finding by which it cannot be had."""
        if (owner := self._owner(identity)) is not None:
            return owner
        try:
            return decode(self.objects(identity), kind)
        except DeltackptError as error:
            return self._add(Finding.of(error), identity)
