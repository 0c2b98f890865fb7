"""The bytes of a disk, sector by sector, and what of a recording may be on it after a power cut."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash_scenarios import EMPTY
from device import ENTRY, FLUSHED, TOLD
from recording import SECTOR
from tracing import heard

PIECE = 1 << 20

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
    for kind, offset, data in _entries(log.read_bytes()):
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


def _entries(log: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(log):
        kind, offset, length = ENTRY.unpack_from(log, at)
        at += ENTRY.size + length
        yield kind, offset, log[at - length : at]


def _sectors(offset: int, data: bytes) -> dict[int, bytes]:
    return {(offset + at) // SECTOR: data[at : at + SECTOR] for at in range(0, len(data), SECTOR)}


class Fate(enum.Enum):
    """What becomes of the writes that no flush covers. A disk may do them in any order: that is ``SOME``."""

    ALL = enum.auto()
    NONE = enum.auto()
    SOME = enum.auto()
    TORN = enum.auto()

    def survivors(self, late: Sequence[Sectors], seed: int) -> Iterator[Sectors]:
        """What is left of ``late``: whole writes of them, or with ``TORN`` any of their sectors."""
        chance = random.Random(seed)
        match self:
            case Fate.ALL:
                yield from late
            case Fate.NONE:
                pass
            case Fate.SOME:
                yield from (sectors for sectors in late if chance.random() < 0.5)
            case Fate.TORN:
                for sectors in late:
                    yield {number: data for number, data in sectors.items() if chance.random() < 0.5}


@dataclass(frozen=True, slots=True)
class Cut:
    """The power fails after the first ``at`` events; what the caller knew then, and what it would have heard next."""

    at: int
    fate: Fate
    seed: int
    known: object
    next: object


def cuts(happened: Sequence[Event], seeds: int) -> list[Cut]:
    """Every moment at which something is under way or known anew, and what may become of it, ``seeds`` times each."""
    told = [(at, event.known) for at, event in enumerate(happened) if isinstance(event, Told)]
    found = []
    for at in range(len(happened) + 1):
        known = next((state for when, state in reversed(told) if when < at), None)
        following = next((state for when, state in told if when >= at), known)
        for fate, seed in _fates(bool(_late(happened[:at])), seeds):
            found.append(Cut(at, fate, seed, known, following))
    return found


def _fates(late: bool, seeds: int) -> Iterator[tuple[Fate, int]]:
    yield Fate.ALL, 0
    if late:
        yield Fate.NONE, 0
        yield from ((fate, seed) for seed in range(seeds) for fate in (Fate.SOME, Fate.TORN))


def _late(happened: Sequence[Event]) -> list[Sectors]:
    """The writes after the last flush, which may be lost."""
    flushes = [at for at, event in enumerate(happened) if isinstance(event, Flushed)]
    return _writes(happened[flushes[-1] if flushes else 0 :])


def _writes(happened: Iterable[Event]) -> list[Sectors]:
    return [event.sectors for event in happened if isinstance(event, Written)]


def survived(first: Image, happened: Sequence[Event], cut: Cut, *, lying: bool = False) -> Image:
    """The disk that was ``first`` when the power is back; a ``lying`` one has taken no notice of any flush."""
    writes = _writes(happened[: cut.at])
    late = writes if lying else _late(happened[: cut.at])
    sectors = dict(first.sectors)
    for durable in writes[: len(writes) - len(late)]:
        sectors |= durable
    for left in cut.fate.survivors(late, cut.seed * 1_000_003 + cut.at):
        sectors |= left
    return Image(first.size, sectors)
