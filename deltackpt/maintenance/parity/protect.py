"""Give every pack of a store its parity, and take that of packs that are gone away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.pack import read_entries
from deltackpt.chunkstore.record import check
from deltackpt.errors import CorruptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.history.repository import Repository
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.code import Code
from deltackpt.maintenance.parity.file import ParityFile
from deltackpt.maintenance.parity.shelf import pack_sizes, parity_files, read_parity, replace
from deltackpt.maintenance.repair.salvage import MAX_PACK_BYTES

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Protection:
    """What was done: how many packs got parity, the bytes of it, how many packs had it, how many files went."""

    packs: int
    nbytes: int
    kept: int
    removed: int


def protect(repository: Repository, share: float, progress: Progress | None = None) -> Protection:
    """Write parity of ``share`` of their size for all packs that have none of that share, or a damaged one.

    Safe beside writers, gc, and others who do the same.

    CorruptError when a pack is damaged: its parity would keep the damage. ``progress`` hears (bytes read, in all).
    """
    chunks, code = repository.chunks, Code.of_share(share)
    disk, layout = chunks.disk, chunks.layout
    packs = pack_sizes(chunks)
    written, nbytes, kept, done = 0, 0, 0, 0
    for pack, size in packs.items():
        if _has(disk, layout, pack, code):
            kept += 1
        else:
            # A gc may take it away meanwhile.
            with suppress(FileNotFoundError):
                data = ParityFile.of(pack, _sound_bytes(disk, layout, pack), code).encode()
                replace(disk, layout.parity(pack), data)
                written, nbytes = written + 1, nbytes + len(data)
        done += size
        if progress is not None:
            progress(done, sum(packs.values()))
    # First the files, then the packs: what others have written meanwhile is of a pack that is known by then.
    files = list(parity_files(disk, layout))
    present = pack_sizes(chunks)
    removed = [path for pack, path in files if pack not in present]
    for path in removed:
        disk.unlink(path)
    return Protection(written, nbytes, kept, len(removed))


def _has(disk: Disk, layout: Layout, pack: PackId, code: Code) -> bool:
    with suppress(FileNotFoundError, CorruptError, StorageError):
        known = read_parity(disk, layout, pack)
        return (known.stripes.code.data, known.stripes.code.parity) == (code.data, code.parity) and known.is_whole
    return False


def _sound_bytes(disk: Disk, layout: Layout, pack: PackId) -> bytes:
    """The bytes of a pack, of which every record has the right checksum."""
    path = layout.pack(pack)
    data = disk.read(path, MAX_PACK_BYTES)
    for entry in read_entries(disk, path, pack):
        check(memoryview(data)[entry.offset : entry.offset + entry.head.stored_length], f"pack {pack.short} ({path})")
    return data
