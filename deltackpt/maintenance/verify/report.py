"""What a check looked at and what it found: plain values, the same for people and for programs."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from deltackpt.errors import DeltackptError, StorageError, UnsupportedError
from deltackpt.ids import ChunkId, CommitId, PackId

REPAIR = "run `deltackpt repair`: it fetches what is lost from any copy it is given, and lists what stays lost"

HEAL = (
    "`deltackpt repair --from` a copy brings back what is lost, or a commit of a state that has it;"
    " or delete these commits"
)


@dataclass(frozen=True, slots=True)
class Affected:
    """A part of a commit that cannot be had whole any more: its tensors by name, or none when it is the part itself.

    Without a part it is the commit itself, or what it keeps beside: ``environment``, ``config``, ``meta``.
    """

    commit: CommitId
    step: int | None
    part: str | None
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written, what to do about it, and everything that it affects."""

    what: str
    advice: str
    affects: tuple[Affected, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem as it is met. ``chunks`` cannot be had because of it; ``commits`` are lost with it as a whole.

    ``pack`` is the one that is damaged. ``unread`` says that it may be sound: it cannot be read.
    Losses that are ``declared`` are a problem only for whom they affect.
    """

    what: str
    advice: str = REPAIR
    chunks: frozenset[ChunkId] = frozenset()
    commits: frozenset[CommitId] = frozenset()
    pack: PackId | None = None
    declared: bool = False
    unread: bool = False

    @classmethod
    def of(cls, error: DeltackptError, chunks: Iterable[ChunkId] = (), pack: PackId | None = None) -> Self:
        """An error whose advice was to look here has another one from here on."""
        what, _, advice = str(error).partition("; ")
        here = not advice or "deltackpt verify" in advice
        unread = isinstance(error, StorageError | UnsupportedError)
        return cls(what, REPAIR if here else advice, frozenset(chunks), pack=pack, unread=unread)


@dataclass(frozen=True, slots=True)
class Sampled:
    """How far samples have come: packs and bytes of this one, how many bytes were ever found good, and since when.

    ``remembered`` is False when that could not be written down: the next sample is of the same packs then.
    """

    packs: int
    sampled_bytes: int
    covered_bytes: int
    total_bytes: int
    since: datetime.datetime | None
    remembered: bool = True


@dataclass(slots=True)
class Report:
    """``read_bytes`` are stored bytes whose checksums were compared, ``checked_bytes`` plain bytes that were hashed."""

    commits: int = 0
    packs: int = 0
    chunks: int = 0
    read_bytes: int = 0
    checked_bytes: int = 0
    sample: Sampled | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems
