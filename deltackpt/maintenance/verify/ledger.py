"""What was checked when, in a small file beside the index: so that samples come round to everything.

Runs are counted, and what was checked longest ago comes first; times are for people. A file that is lost, damaged or
of another form starts the count over: everything is then as though it had never been checked.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import xxhash

from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId

NAME = "checked"
_MAX_BYTES = 1 << 28
_CHECKSUM = 8


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A check: the number of its run, and when, in seconds since 1970."""

    run: int
    time: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Checks of packs, and of the inline bytes of log records, which have a pack id too."""

    entries: Mapping[PackId, Entry] = field(default_factory=dict)

    def oldest(self, sizes: Mapping[PackId, int], share: float) -> list[PackId]:
        """Packs to check next: those longest unchecked, until ``share`` of all bytes is among them; at least one."""
        never = Entry(0, 0)
        wanted = sum(sizes.values()) * share
        chosen: list[PackId] = []
        # Sorting keeps the order of publishing among those of one run.
        for pack in sorted(sizes, key=lambda pack: self.entries.get(pack, never).run):
            if chosen and wanted <= 0:
                break
            chosen.append(pack)
            wanted -= sizes[pack]
        return chosen

    def after(self, checked: Iterable[PackId], present: Collection[PackId]) -> Ledger:
        """The ledger after one more run; packs that are not ``present`` any more are struck out."""
        now = Entry(1 + max((entry.run for entry in self.entries.values()), default=0), int(time.time()))
        entries = {pack: entry for pack, entry in self.entries.items() if pack in present}
        return Ledger(entries | dict.fromkeys(checked, now))

    def covered(self, sizes: Mapping[PackId, int]) -> int:
        """Bytes of packs that were ever checked."""
        return sum(size for pack, size in sizes.items() if pack in self.entries)

    def since(self) -> datetime.datetime | None:
        """When the oldest check that still counts was made."""
        times = [entry.time for entry in self.entries.values()]
        return datetime.datetime.fromtimestamp(min(times), datetime.UTC) if times else None


_decoder = msgspec.msgpack.Decoder(dict[bytes, Entry])


def read_ledger(disk: Disk, folder: str) -> Ledger:
    """The ledger in an index's ``folder``; an empty one when there is none that can be trusted."""
    try:
        data = disk.read(os.path.join(folder, NAME), _MAX_BYTES)
        if xxhash.xxh3_64_digest(data[_CHECKSUM:]) != data[:_CHECKSUM]:
            return Ledger()
        return Ledger({PackId(pack): entry for pack, entry in _decoder.decode(data[_CHECKSUM:]).items()})
    except (FileNotFoundError, StorageError, msgspec.MsgspecError, ValueError):
        return Ledger()


def write_ledger(disk: Disk, folder: str, ledger: Ledger) -> None:
    """Put the ledger in the place of the last one, whole or not at all. Not synced: it may be lost."""
    body = msgspec.msgpack.encode({bytes(pack): entry for pack, entry in ledger.entries.items()})
    path = os.path.join(folder, NAME)
    staged = f"{path}.{os.urandom(8).hex()}.tmp"
    pieces: Sequence[bytes] = (xxhash.xxh3_64_digest(body), body)
    fd = disk.create(staged)
    try:
        disk.write(fd, pieces, staged)
        disk.rename(staged, path)
    except BaseException:
        with contextlib.suppress(StorageError):
            disk.unlink(staged)
        raise
    finally:
        disk.close(fd, staged)
