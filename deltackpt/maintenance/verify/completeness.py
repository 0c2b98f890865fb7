"""Whether a commit has all that a later run needs: parts and top-level values by name."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deltackpt.checkout.files import stored_files
from deltackpt.checkout.leaves import part_leaves
from deltackpt.errors import DeltackptError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import Manifests
from deltackpt.history.repository import Repository
from deltackpt.history.walk import part_chunks

STEP = "step"


class Presence(enum.StrEnum):
    """How a name is found: there, deleted to save room, there but not whole any more, or never there."""

    PRESENT = "present"
    THINNED = "thinned"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Completeness:
    """What was asked for, by name."""

    commit: Commit
    found: Mapping[str, Presence]

    @property
    def ok(self) -> bool:
        return all(presence is Presence.PRESENT for presence in self.found.values())


def completeness(repository: Repository, commit: Commit, names: Iterable[str]) -> Completeness:
    """Look for each of ``names`` in ``commit``: a part, a value or a tensor at the top level, or ``step``.

    ``step`` is there, too, when the commit itself has one. In a commit that was made from a file a name is there when a
    tensor has it or begins with it and a dot. Reads manifests, not data.
    """
    top = _top_level(repository, commit)
    return Completeness(commit, {name: _presence(repository, commit, top, name) for name in names})


def _presence(repository: Repository, commit: Commit, top: frozenset[str] | None, name: str) -> Presence:
    if any(part.name == name for part in commit.thinned):
        return Presence.THINNED
    if any(part.name == name for part in commit.parts if name):
        return Presence.PRESENT if _is_whole(repository, commit.part_named(name).id) else Presence.DAMAGED
    if name == STEP and commit.step is not None:
        return Presence.PRESENT
    if top is None:
        return Presence.DAMAGED
    return Presence.PRESENT if name in top else Presence.MISSING


def _is_whole(repository: Repository, identity: bytes) -> bool:
    """Whether every chunk of a part, and all that it is a delta against, has a place."""
    try:
        chunks = [chunk for chunk, _ in part_chunks(Manifests(repository.reader), identity)]
        repository.chunks.look(lambda view: repository.reader.dependencies(view, chunks))
    except (DeltackptError, FileNotFoundError, ValueError):
        return False
    return True


def _top_level(repository: Repository, commit: Commit) -> frozenset[str] | None:
    """Names at the top level of the state that are no parts; of a file, every beginning of its tensors' names.

    None when they cannot be read.
    """
    if not any(part.name == "" for part in commit.parts):
        return frozenset()
    try:
        root = part_leaves(repository, commit, "")
        is_file = stored_files(repository, commit) is not None
    except DeltackptError:
        return None
    names = [tensor.name for tensor in root.tensors] + [value.name for value in root.values]
    if is_file:
        names += [name[:at] for name in names for at, character in enumerate(name) if character == "."]
    return frozenset(names)
