"""The bytes of a disk, sector by sector, and what of a recording may be on it after a power cut."""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash_scenarios import EMPTY
from device_log import FLUSHED, TOLD, entries
from recording import SECTOR
from tracing import heard

PIECE = 1 << 20
# Sectors of a file system's first block.
FIRST = 8

Sectors = Mapping[int, bytes]
"""Sectors of 512 bytes by their numbers."""


@dataclass(frozen=True, slots=True)
class Image:
    """A disk of ``size`` bytes; a sector that is not there is zero."""

    size: int
    sectors: Sectors

    @classmethod
    def read(cls, path: Path) -> Image:
        sectors: dict[int, bytes] = {}
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                if piece.count(0) < len(piece):
                    sectors |= _sectors(file.tell() - len(piece), piece)
        return cls(path.stat().st_size, sectors)

    def lay_out(self, path: Path) -> None:
        """Make the file at ``path``, with holes where there are zeros."""
        with path.open("wb") as file:
            file.truncate(self.size)
            for number, data in sorted(self.sectors.items()):
                if data.count(0) < SECTOR:
                    file.seek(number * SECTOR)
                    file.write(data)


@dataclass(frozen=True, slots=True)
class Written:
    """Sectors that one write changed."""

    sectors: Sectors


@dataclass(frozen=True, slots=True)
class Flushed:
    """All that was written before is durable."""


@dataclass(frozen=True, slots=True)
class Told:
    """From here on the caller of the store knows this."""

    known: object


Event = Written | Flushed | Told


def events(log: Path) -> list[Event]:
    """What a recording device has written down."""
    found: list[Event] = []
    known, line = EMPTY, b""
    for kind, offset, data in entries(log.read_bytes()):
        if kind == FLUSHED:
            found.append(Flushed())
        elif kind == TOLD:
            # A long line comes in pieces.
            line += data
            if line.endswith(b"\n"):
                known, line = heard(line, known), b""
                found.append(Told(known))
        else:
            found.append(Written(_sectors(offset, data)))
    return found


def _sectors(offset: int, data: bytes) -> dict[int, bytes]:
    return {(offset + at) // SECTOR: data[at : at + SECTOR] for at in range(0, len(data), SECTOR)}


class Fate(enum.Enum):
    """What becomes of the writes that no flush covers. A disk may do them in any order: that is ``SOME``."""

    ALL = enum.auto()
    NONE = enum.auto()
    SOME = enum.auto()
    TORN = enum.auto()

    def left(self, late: Sequence[Sectors], chance: random.Random) -> Sectors:
        """What is left of the writes ``late``: whole ones, or with ``TORN`` any of their sectors."""
        found: dict[int, bytes] = {}
        for sectors in late:
            match self:
                case Fate.ALL:
                    found |= sectors
                case Fate.SOME if chance.random() < 0.5:
                    found |= sectors
                case Fate.TORN:
                    found |= _torn(sectors, chance)
        return found


def _torn(sectors: Sectors, chance: random.Random) -> Sectors:
    """Some sectors of a write.

    The first block of the disk is there or not, for it holds the superblock: ext4 does not mount with half of that,
    which is no affair of what lies on it.
    """
    kept = chance.random() < 0.5
    return {number: data for number, data in sectors.items() if (kept if number < FIRST else chance.random() < 0.5)}


@dataclass(frozen=True, slots=True)
class Cut:
    """The power fails after the first ``at`` events; what the caller knew then, and what it would have heard next.

    With ``ignored`` the disk has lied: it took no notice of the last so many flushes.
    """

    at: int
    fate: Fate
    seed: int
    known: object
    next: object
    ignored: int

    def halves(self, happened: Sequence[Event]) -> tuple[list[Sectors], Sectors]:
        """The writes that are durable, and what is left of all others."""
        before = happened[: self.at]
        flushes = [0, *(at for at, event in enumerate(before) if isinstance(event, Flushed))]
        last = flushes[max(0, len(flushes) - 1 - self.ignored)]
        chance = random.Random(self.seed * 1_000_003 + self.at)
        return _writes(before[:last]), self.fate.left(_writes(before[last:]), chance)


def _writes(happened: Sequence[Event]) -> list[Sectors]:
    return [event.sectors for event in happened if isinstance(event, Written)]


def cuts(happened: Sequence[Event], seeds: int, ignored: int = 0) -> tuple[int, list[Cut]]:
    """How many power cuts there are, at every moment with ``seeds`` chances for each fate, and one for each disk left.

    The same disk, known of in the same way, need not be tried twice.
    """
    told = [(at, event.known) for at, event in enumerate(happened) if isinstance(event, Told)]
    fates = [(Fate.ALL, 0), (Fate.NONE, 0), *((f, seed) for seed in range(seeds) for f in (Fate.SOME, Fate.TORN))]
    kept: dict[object, Cut] = {}
    for at in range(len(happened) + 1):
        known = next((state for when, state in reversed(told) if when < at), None)
        following = next((state for when, state in told if when >= at), known)
        for fate, seed in fates:
            cut = Cut(at, fate, seed, known, following, ignored)
            durable, left = cut.halves(happened)
            kept.setdefault((len(durable), frozenset(left.items()), id(known), id(following)), cut)
    return (len(happened) + 1) * len(fates), list(kept.values())


def survived(first: Image, happened: Sequence[Event], cut: Cut) -> Image:
    """The disk that was ``first`` when the power is back."""
    durable, left = cut.halves(happened)
    sectors = dict(first.sectors)
    for write in durable:
        sectors |= write
    return Image(first.size, sectors | left)
