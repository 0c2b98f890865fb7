"""Names of the files in a store's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deltackpt.ids import PackId


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

    def record(self, number: int) -> str:
        return os.path.join(self.log, f"{number:016d}.rec")

    def shelf(self, pack: PackId) -> str:
        """The folder of a pack: two hex digits keep any one directory small."""
        return os.path.join(self.packs, pack.hex()[:2])

    def pack(self, pack: PackId) -> str:
        return os.path.join(self.shelf(pack), f"{pack}.pack")

    def pack_in_progress(self, pack: PackId) -> str:
        return os.path.join(self.tmp, f"{pack}.pack")


def record_number(name: str) -> int | None:
    """The number of a log record's file name, or None for any other name."""
    stem, dot, suffix = name.partition(".")
    return int(stem) if dot and suffix == "rec" and len(stem) == 16 and stem.isascii() and stem.isdigit() else None


def pack_named(name: str) -> PackId | None:
    """The pack of a file name, or None for any other name."""
    stem, _, suffix = name.partition(".")
    try:
        pack = PackId.from_hex(stem)
    except ValueError:
        return None
    return pack if suffix == "pack" and str(pack) == stem else None
