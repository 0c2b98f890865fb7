"""Make damaged packs again from their parity: the bytes that were written, so that nothing else has to know.

Where a stripe is damaged beyond its parity its blocks stay as they are, and what the other stripes tell comes back all
the same. Nothing is taken from a parity file that would cost a record which is sound without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import CorruptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.file import ParityFile
from deltackpt.maintenance.parity.shelf import pack_sizes, parity_files, read_parity, replace
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import keep_copy
from deltackpt.maintenance.repair.salvage import sound_records

_Blocks = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Restoration:
    """A pack of which ``damaged`` blocks are damaged; its parity tells ``restored`` of them."""

    disk: Disk
    layout: Layout
    pack: PackId
    restored: int
    damaged: int
    of: int

    @property
    def mend(self) -> Mend:
        path = self.layout.pack(self.pack)
        what = f"pack {self.pack.short} ({path}): {self.damaged} of {self.of} blocks are damaged"
        some = "" if self.restored == self.damaged else f"{self.restored} of them "
        return Mend(what, f"{some}restored from its parity", path)

    def execute(self) -> None:
        """Put the restored pack in the place of the damaged one, which is kept in quarantine.

        StorageError when less can be restored than was planned.
        """
        path = self.layout.pack(self.pack)
        try:
            found = _restored(self.disk, self.layout, read_parity(self.disk, self.layout, self.pack))
        except FileNotFoundError:
            # A gc has taken it away meanwhile.
            return
        if not found.damaged:
            # Another repair was faster.
            return
        if found.restored < self.restored:
            raise StorageError(f"{path!r} changes while it is read; check that disk")
        keep_copy(self.disk, self.layout, path, f"{self.pack}.pack")
        replace(self.disk, path, found.data)


@dataclass(frozen=True, slots=True)
class _Restored:
    """How many blocks were ``damaged``, how many of these are ``restored``, and with any the whole pack."""

    damaged: int
    restored: int
    data: bytes


def plan_restorations(store: ChunkStore) -> Iterator[Restoration]:
    """Packs of the store that are damaged and can be restored. Reads every pack that has parity, one at a time."""
    disk, layout, sizes = store.disk, store.layout, pack_sizes(store)
    for pack, _ in parity_files(disk, layout):
        with suppress(CorruptError, FileNotFoundError):
            parity = read_parity(disk, layout, pack)
            # What the log says counts: parity of another size would make another pack of it.
            if parity.stripes.size != sizes.get(pack):
                continue
            found = _restored(disk, layout, parity)
            if found.restored:
                yield Restoration(disk, layout, pack, found.restored, found.damaged, parity.stripes.count)


def _restored(disk: Disk, layout: Layout, parity: ParityFile) -> _Restored:
    cut = parity.stripes
    read, resized = _read_blocks(disk, layout.pack(parity.pack), parity)
    sound = [block if block is not None and parity.is_sound(at, block) else None for at, block in enumerate(read)]
    damaged = max(sound.count(None), int(resized))
    if not damaged:
        return _Restored(0, 0, b"")
    made = {at: block for stripe in range(cut.stripes) for at, block in _made(parity, stripe, sound)}
    # What cannot be read may be sound: zeros must not take its place.
    if any(block is None and at not in made for at, block in enumerate(read)):
        return _Restored(damaged, 0, b"")
    after = _joined(parity, [made.get(at, block) for at, block in enumerate(read)])
    if not _keeps_records(_joined(parity, read), after):
        return _Restored(damaged, 0, b"")
    left = sum(block is None and at not in made for at, block in enumerate(sound))
    return _Restored(damaged, damaged - left, after)


def _made(parity: ParityFile, stripe: int, blocks: _Blocks) -> Iterator[tuple[int, bytes]]:
    """The damaged blocks of a stripe with their numbers; none when they are more than there is parity for."""
    cut = parity.stripes
    numbers = [number for number in cut.blocks(stripe) if number < cut.count]
    if all(blocks[number] is not None for number in numbers):
        return
    zeros = [bytes(cut.block)] * (cut.code.data - len(numbers))
    there = [*(blocks[number] for number in numbers), *zeros, *parity.beside(stripe)]
    if there.count(None) > cut.code.parity:
        return
    for number, block in zip(numbers, cut.code.restore(there), strict=False):
        if blocks[number] is None and parity.is_sound(number, block):
            yield number, block


def _joined(parity: ParityFile, blocks: _Blocks) -> bytes:
    """The bytes of a pack, zeros for what is missing."""
    zeros = bytes(parity.stripes.block)
    return b"".join(zeros if block is None else block for block in blocks)[: parity.stripes.size]


def _keeps_records(before: bytes, after: bytes) -> bool:
    """Whether every record of a pack that was sound before is there as it was."""
    places = ((entry.offset, entry.offset + entry.head.stored_length) for entry in sound_records(before))
    return all(before[start:stop] == after[start:stop] for start, stop in places)


def _read_blocks(disk: Disk, path: str, parity: ParityFile) -> tuple[_Blocks, bool]:
    """The blocks of a pack, None for those that cannot be read; whether the file is longer or shorter than them."""
    cut = parity.stripes
    blocks: list[bytes | None] = []
    fd = disk.open(path)
    try:
        for number in range(cut.count):
            block = None
            with suppress(StorageError):
                length = min(cut.block, cut.size - number * cut.block)
                block = disk.read_at(fd, number * cut.block, length, path).ljust(cut.block, b"\0")
            blocks.append(block)
        return blocks, disk.size(path) != cut.size
    finally:
        disk.close(fd, path)
