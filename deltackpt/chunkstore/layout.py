"""Names of the files in a store's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deltackpt.ids import EpochId, PackId

_RETIRED = ".retired"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the store's folder ``root``."""

    root: str

    @property
    def facts(self) -> str:
        return os.path.join(self.root, "store.json")

    @property
    def log(self) -> str:
        return os.path.join(self.root, "log")

    @property
    def packs(self) -> str:
        return os.path.join(self.root, "packs")

    @property
    def index(self) -> str:
        return os.path.join(self.root, "index")

    @property
    def reserve(self) -> str:
        return os.path.join(self.root, "reserve")

    @property
    def policy(self) -> str:
        return os.path.join(self.root, "keep.toml")

    @property
    def tmp(self) -> str:
        return os.path.join(self.root, "tmp")

    @property
    def quarantine(self) -> str:
        """Where damaged files are kept."""
        return os.path.join(self.root, "quarantine")

    @property
    def segments(self) -> str:
        return os.path.join(self.root, "segments")

    def epoch(self, epoch: EpochId) -> str:
        """The folder of the records of one epoch."""
        return os.path.join(self.log, epoch.hex())

    def record(self, epoch: EpochId, number: int) -> str:
        return os.path.join(self.epoch(epoch), f"{number:016d}.rec")

    def segment(self, epoch: EpochId, last: int) -> str:
        return os.path.join(self.segments, f"{last:016d}-{epoch.hex()}.seg")

    def retired(self, epoch: EpochId) -> str:
        """Where the folder of an archived epoch is put before its files are removed."""
        return os.path.join(self.tmp, f"{epoch.hex()}{_RETIRED}")

    def shelf(self, pack: PackId) -> str:
        """The folder of a pack: two hex digits keep any one directory small."""
        return os.path.join(self.packs, pack.hex()[:2])

    def pack(self, pack: PackId) -> str:
        return os.path.join(self.shelf(pack), f"{pack}.pack")

    @property
    def parities(self) -> str:
        return os.path.join(self.root, "parity")

    def parity(self, pack: PackId) -> str:
        """Parity of a pack, on a shelf as its pack is."""
        return os.path.join(self.parities, pack.hex()[:2], f"{pack}.par")

    def pack_in_progress(self, pack: PackId) -> str:
        return os.path.join(self.tmp, f"{pack}.pack")


def record_number(name: str) -> int | None:
    """The number of a log record's file name, or None for any other name."""
    stem, dot, suffix = name.partition(".")
    return _number(stem) if dot and suffix == "rec" else None


def segment_named(name: str) -> tuple[int, EpochId] | None:
    """The last number of a segment and its epoch, from its file name, or None for any other name."""
    stem, dot, suffix = name.partition(".")
    digits, dash, rest = stem.partition("-")
    number, epoch = _number(digits), epoch_named(rest)
    if not dot or suffix != "seg" or not dash or number is None or epoch is None:
        return None
    return number, epoch


def epoch_named(name: str) -> EpochId | None:
    """The epoch of a folder's name, or None for any other name."""
    try:
        epoch = EpochId.from_hex(name)
    except ValueError:
        return None
    return epoch if str(epoch) == name else None


def is_retired(name: str) -> bool:
    """Whether ``name`` is that of an archived epoch's folder on its way out."""
    return name.endswith(_RETIRED) and epoch_named(name.removesuffix(_RETIRED)) is not None


def _number(digits: str) -> int | None:
    return int(digits) if len(digits) == 16 and digits.isascii() and digits.isdigit() else None


def pack_named(name: str) -> PackId | None:
    """The pack of a file name, or None for any other name."""
    stem, _, suffix = name.partition(".")
    try:
        pack = PackId.from_hex(stem)
    except ValueError:
        return None
    return pack if suffix == "pack" and str(pack) == stem else None
