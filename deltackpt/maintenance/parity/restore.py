"""Make damaged packs again from their parity: the same file, byte by byte, so that nothing else has to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import CorruptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.file import ParityFile
from deltackpt.maintenance.parity.shelf import parity_files, read_parity, replace
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import keep_copy


@dataclass(frozen=True, slots=True)
class Restoration:
    """A damaged pack, whose bytes its parity tells."""

    disk: Disk
    layout: Layout
    pack: PackId
    damaged: int
    of: int

    @property
    def mend(self) -> Mend:
        path = self.layout.pack(self.pack)
        what = f"pack {self.pack.short} ({path}): {self.damaged} of {self.of} blocks are damaged"
        return Mend(what, "restored from its parity", path)

    def execute(self) -> None:
        """Put the restored pack in the place of the damaged one, which is kept in quarantine."""
        restored = _restored(self.disk, self.layout, read_parity(self.disk, self.layout, self.pack))
        path = self.layout.pack(self.pack)
        keep_copy(self.disk, self.layout, path, f"{self.pack}.pack")
        replace(self.disk, path, restored.data)


@dataclass(frozen=True, slots=True)
class _Restored:
    damaged: int
    data: bytes


class _TooDamagedError(Exception):
    """More blocks of a stripe are damaged than there is parity for."""


def plan_restorations(disk: Disk, layout: Layout) -> Iterator[Restoration]:
    """Packs that are damaged and can be restored. Reads every pack that has parity, one at a time."""
    for pack, _ in parity_files(disk, layout):
        with suppress(CorruptError, FileNotFoundError, _TooDamagedError):
            parity = read_parity(disk, layout, pack)
            found = _restored(disk, layout, parity)
            if found.damaged:
                yield Restoration(disk, layout, pack, found.damaged, parity.stripes.count)


def _restored(disk: Disk, layout: Layout, parity: ParityFile) -> _Restored:
    cut = parity.stripes
    blocks, tail = _read_blocks(disk, layout.pack(parity.pack), parity)
    damaged = sum(block is None for block in blocks) + tail
    for stripe in range(cut.stripes):
        numbers = [number for number in cut.blocks(stripe) if number < cut.count]
        if all(blocks[number] is not None for number in numbers):
            continue
        zeros = [bytes(cut.block)] * (cut.code.data - len(numbers))
        there = [*(blocks[number] for number in numbers), *zeros, *parity.beside(stripe)]
        if sum(block is None for block in there) > cut.code.parity:
            raise _TooDamagedError
        for number, block in zip(numbers, cut.code.restore(there), strict=False):
            if not parity.is_sound(number, block):
                raise _TooDamagedError
            blocks[number] = block
    return _Restored(damaged, b"".join(block for block in blocks if block is not None)[: cut.size])


def _read_blocks(disk: Disk, path: str, parity: ParityFile) -> tuple[list[bytes | None], bool]:
    """The blocks of a pack, None for those that are damaged or cannot be read; whether there is more than them."""
    cut = parity.stripes
    blocks: list[bytes | None] = []
    fd = disk.open(path)
    try:
        for number in range(cut.count):
            block = None
            with suppress(StorageError):
                length = min(cut.block, cut.size - number * cut.block)
                block = disk.read_at(fd, number * cut.block, length, path).ljust(cut.block, b"\0")
            blocks.append(block if block is not None and parity.is_sound(number, block) else None)
        return blocks, disk.size(path) > cut.size
    finally:
        disk.close(fd, path)
