"""store.json: what a store is, written once when it is made."""

from __future__ import annotations

import os
import sys

import msgspec
import xxhash

from deltackpt.chunking.grid import TARGET_CHUNK_BYTES
from deltackpt.chunkstore.layout import Layout, epoch_named
from deltackpt.chunkstore.reserve import default_bytes, keep_reserve
from deltackpt.errors import CorruptError, InvalidInputError, NotFoundError, StorageError, UnsupportedError
from deltackpt.fs.disk import Disk, DiskFullError
from deltackpt.ids import EpochId

FORMAT = 1
READABLE = (0, FORMAT)
"""Versions of the format as a whole; see ``docs/format/versions.md``. 0 differs in nothing but the number."""
HASH = "blake3-256"
MAX_FACTS_BYTES = 1 << 16


class NotAStoreError(NotFoundError):
    """The folder holds no store."""


class StoreFacts(msgspec.Struct, frozen=True):
    """The facts of a store: its format version, its own id, how contents are named and cut.

    ``epoch`` is the first of its log, ``reserve_bytes`` the size of its reserve.

    ``check`` is the checksum of the others.
    """

    format: int
    store_id: str
    created: str
    hash: str
    chunk_bytes: int
    epoch: str
    reserve_bytes: int
    check: str

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.store_id)

    @property
    def first_epoch(self) -> EpochId:
        return EpochId.from_hex(self.epoch)

    @classmethod
    def new(cls, created: str, reserve_bytes: int) -> StoreFacts:
        """Facts of a store to be made now."""
        name, epoch = os.urandom(16).hex(), EpochId.new().hex()
        facts = cls(FORMAT, name, created, HASH, TARGET_CHUNK_BYTES, epoch, reserve_bytes, "")
        return msgspec.structs.replace(facts, check=facts.checksum())

    def checksum(self) -> str:
        """xxh3-64 of every other field, so that a damaged file is not taken for another store."""
        told = (self.format, self.store_id, self.created, self.hash, self.chunk_bytes, self.epoch, self.reserve_bytes)
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode(told))


def read_facts(disk: Disk, layout: Layout) -> StoreFacts:
    """The facts of the store at ``layout``; NotAStoreError, CorruptError or UnsupportedError otherwise."""
    _refuse_big_endian()
    try:
        data = disk.read(layout.facts, MAX_FACTS_BYTES)
    except (FileNotFoundError, StorageError) as error:
        if isinstance(error, StorageError) and os.path.isdir(layout.root):
            raise
        here = os.path.exists(layout.root)
        reason = "is not a store: it has no store.json; make one" if here else "does not exist; make a store there"
        raise NotAStoreError(f"{layout.root!r} {reason} with `deltackpt init`") from None
    try:
        version = msgspec.json.decode(data, type=dict)["format"]
        if version not in READABLE and not _is_ours(data):
            raise UnsupportedError(
                f"{layout.facts!r}: store format {version!r}, this release reads up to {FORMAT}; upgrade deltackpt"
            )
        facts = msgspec.json.decode(data, type=StoreFacts)
        if facts.check != facts.checksum():
            return _refuse(layout, "its checksum does not match")
        if facts.hash != HASH:
            raise UnsupportedError(
                f"{layout.facts!r}: chunks are named by {facts.hash!r}, this release knows {HASH!r}; upgrade deltackpt"
            )
        if len(facts.key) != 16:
            return _refuse(layout, "store_id is not 16 bytes")
        return facts if epoch_named(facts.epoch) else _refuse(layout, "epoch is not 7 bytes")
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        return _refuse(layout, str(error))


def _is_ours(data: bytes) -> bool:
    """Whether it is of a format that is known but for the number that says so: that is damage, and no newer store."""
    try:
        return facts_meant(msgspec.json.decode(data, type=StoreFacts)) is not None
    except msgspec.MsgspecError:
        return False


def facts_meant(told: StoreFacts) -> StoreFacts | None:
    """Facts of which the format may be damaged, with the one that their checksum is of; None when more is damaged."""
    meant = (msgspec.structs.replace(told, format=version) for version in READABLE)
    return next((facts for facts in meant if facts.checksum() == told.check), None)


def _refuse(layout: Layout, reason: str) -> StoreFacts:
    raise CorruptError(
        f"{layout.facts!r} is damaged ({reason}); restore it from a copy, or run `deltackpt repair`:"
        " the data beside it is untouched"
    )


def _has_history(disk: Disk, layout: Layout) -> bool:
    """Whether anything was ever published here; who died in the middle of making a store leaves empty folders."""
    folders = [layout.segments, *(os.path.join(layout.log, name) for name in disk.names(layout.log))]
    names = (name for folder in folders if os.path.isdir(folder) for name in disk.names(folder))
    return any(name.endswith((".rec", ".seg")) for name in names)


def _refuse_big_endian() -> None:
    if sys.byteorder != "little":
        raise UnsupportedError("stores are little-endian and this host is big-endian; use a little-endian host")


def create(disk: Disk, layout: Layout, created: str, reserve_bytes: int | None = None) -> StoreFacts:
    """Make the folders of a new store and write its facts last: a folder without them is no store yet.

    ``reserve_bytes`` are set aside for a full disk, by default as many as suit the disk. InvalidInputError when a
    store is there already; StorageError with advice when the file system cannot link; DiskFullError when there is no
    room for the reserve that was asked for.
    """
    _refuse_big_endian()
    if disk.exists(layout.facts):
        raise InvalidInputError(f"{layout.root!r} holds a store already; open it instead")
    if disk.exists(layout.root) and not os.path.isdir(layout.root):
        raise InvalidInputError(f"{layout.root!r} is a file; choose a folder for the store")
    if _has_history(disk, layout):
        raise InvalidInputError(f"{layout.root!r} holds a store that has lost its store.json; run `deltackpt repair`")
    _make_folders(disk, layout.root)
    facts = StoreFacts.new(created, default_bytes(disk, layout) if reserve_bytes is None else reserve_bytes)
    for folder in (layout.log, layout.epoch(facts.first_epoch), layout.segments, layout.packs, layout.tmp):
        disk.make_directory(folder)
    # Before the facts: whoever finds those may rely on the folders.
    for folder in (layout.log, layout.root):
        disk.sync_directory(folder)
    if reserve_bytes is not None:
        _check_room(disk, layout, reserve_bytes)
    keep_reserve(disk, layout, facts.reserve_bytes)
    staged = _stage(disk, layout, facts)
    try:
        _probe_link(disk, layout, staged)
        # A folder being filled by two at once gets the facts of the first.
        disk.link(staged, layout.facts)
    except FileExistsError:
        raise InvalidInputError(f"{layout.root!r} holds a store already; open it instead") from None
    finally:
        disk.unlink(staged)
    for folder in (layout.log, layout.root):
        disk.sync_directory(folder)
    return facts


def write_facts(disk: Disk, layout: Layout, facts: StoreFacts) -> None:
    """Put facts in the place of those that are there, whole or not at all."""
    disk.rename(_stage(disk, layout, facts), layout.facts)
    disk.sync_directory(layout.root)


def _stage(disk: Disk, layout: Layout, facts: StoreFacts) -> str:
    staged = os.path.join(layout.log, f".{os.urandom(16).hex()}.tmp")
    fd = disk.create(staged)
    try:
        disk.write(fd, [msgspec.json.format(msgspec.json.encode(facts), indent=2), b"\n"], staged)
        disk.sync(fd, staged)
    finally:
        disk.close(fd, staged)
    return staged


def _make_folders(disk: Disk, path: str) -> None:
    """Make ``path`` and the folders above it that are missing, durably."""
    above = os.path.dirname(path)
    if not disk.exists(above):
        _make_folders(disk, above)
    disk.make_directory(path)
    disk.sync_directory(above)


def _check_room(disk: Disk, layout: Layout, reserve_bytes: int) -> None:
    """Before anything is set aside: trying would fill the disk for a moment, under everybody who uses it."""
    free = disk.free_bytes(layout.root)
    if reserve_bytes > free:
        raise DiskFullError(
            f"no room for a reserve of {reserve_bytes} bytes in {layout.root!r}, where {free} are free;"
            " choose a smaller one (--reserve), or 0 for none"
        )


def _probe_link(disk: Disk, layout: Layout, staged: str) -> None:
    probe = f"{staged}.probe"
    try:
        disk.link(staged, probe)
    except StorageError as error:
        raise StorageError(
            f"{layout.root!r} lies on a file system without hard links ({error}), which publishing needs;"
            " put the store on a local disk or an NFS share"
        ) from None
    disk.unlink(probe)
