"""Every bit of every kind of file flipped, every length cut: the same answer or a typed error, never wrong bytes."""

from __future__ import annotations

import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xxhash
from disks import log_file, packs

from deltackpt import Options, Store
from deltackpt.chunkstore import log_record, pack, record
from deltackpt.chunkstore.facts import read_facts
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.errors import CorruptError, DeltackptError, UnsupportedError
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId

ONE_THREAD = Options(threads=1)
STATE = {"w": np.arange(200, dtype=np.uint16), "b": np.arange(90, dtype=np.float32)}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of two commits, the second a delta on the first, in packs of some hundred bytes."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0,))
    with Store.init(tmp_path / "s", options=ONE_THREAD) as store:
        store.commit(STATE, step=1)
        store.commit({**STATE, "w": STATE["w"] + 1}, step=2)
        yield store


def flips(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def one_flip_a_byte(data: bytes) -> Iterator[bytes]:
    chance = random.Random(len(data))
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    for length in range(len(data)):
        yield data[:length]


def damaged(path: Path, versions: Iterator[bytes]) -> Iterator[None]:
    """The file in each of its versions; as it was, in the end."""
    sound = path.read_bytes()
    for version in versions:
        path.write_bytes(version)
        yield
    path.write_bytes(sound)


def all_chunks(store: Store) -> dict[ChunkId, bytes]:
    chunks = store._repository.chunks
    reader = store._repository.reader
    return {chunk: bytes(reader.read(chunk)) for chunk in chunks.look(lambda view: dict(view.chunks()))}


def refusals(store: Store, path: Path, versions: Iterator[bytes], chunks: dict[ChunkId, bytes]) -> int:
    """Read the pack's chunks from each version of it; how often that was refused."""
    view = store._repository.chunks.look(lambda view: dict(view.chunks()))
    here = [chunk for chunk, place in view.items() if str(place.pack) == path.stem]
    refused = 0
    for _ in damaged(path, versions):
        with closing(ChunkReader(store._repository.chunks, CommitPlains(0))) as reader:
            for chunk in here:
                try:
                    assert bytes(reader.read(chunk)) == chunks[chunk]
                except CorruptError:
                    refused += 1
    return refused


@pytest.mark.parametrize("versions", [one_flip_a_byte, cuts])
def test_packs(small: Store, versions: Callable[[bytes], Iterator[bytes]]) -> None:
    chunks = all_chunks(small)
    assert len(chunks) > 6
    assert all(refusals(small, path, versions(path.read_bytes()), chunks) > 500 for path in packs(small))


@pytest.mark.campaign
def test_every_bit_of_the_packs(small: Store) -> None:
    chunks = all_chunks(small)
    for path in packs(small):
        assert refusals(small, path, flips(path.read_bytes()), chunks) > 5_000


def test_every_bit_of_every_record(small: Store) -> None:
    for path in packs(small):
        data = path.read_bytes()
        for entry in pack.read_entries(Disk(), str(path), pack.PackId.from_hex(path.stem)):
            sealed = data[entry.offset : entry.offset + entry.head.stored_length]
            assert record.check(memoryview(sealed), "here")[0].members == entry.head.members
            for version in [*flips(sealed), *cuts(sealed), sealed + bytes(1)]:
                with pytest.raises(record.RecordCorruptError, match="here: "):
                    record.check(memoryview(version), "here")


def test_packs_while_the_index_is_built(small: Store) -> None:
    """One pack that is damaged costs its own chunks; the store opens and the rest is read."""
    chunks = all_chunks(small)
    refused = 0
    for path in packs(small):
        data = path.read_bytes()
        for _ in damaged(path, iter([*list(one_flip_a_byte(data))[::19], *list(cuts(data))[::97]])):
            small._repository.chunks.rebuild()
            with closing(ChunkReader(small._repository.chunks, CommitPlains(0))) as reader:
                for chunk, plain in chunks.items():
                    try:
                        assert bytes(reader.read(chunk)) == plain
                    except DeltackptError:
                        refused += 1
    assert refused > 50
    small._repository.chunks.rebuild()
    assert all_chunks(small) == chunks


def test_every_bit_of_a_frame(small: Store) -> None:
    """Header, footer and trailer; the records between them are not looked at."""
    path = packs(small)[0]
    name = pack.PackId.from_hex(path.stem)
    entries = pack.read_entries(Disk(), str(path), name)
    data = path.read_bytes()
    end = entries[-1].offset + entries[-1].head.stored_length
    header = [version + data[pack.HEADER_SIZE :] for version in flips(data[: pack.HEADER_SIZE])]
    footer = [data[:end] + version for version in flips(data[end:])]
    for _ in damaged(path, iter([*header, *footer, *cuts(data), data + b"\0", data + data])):
        with pytest.raises((CorruptError, UnsupportedError), match=name.short):
            pack.read_entries(Disk(), str(path), name)
    assert pack.read_entries(Disk(), str(path), name) == entries


def test_log_records(small: Store) -> None:
    path = log_file(small, 2)
    epoch = small._repository.chunks.facts.first_epoch
    data = path.read_bytes()
    sound = log_record.decode(data, 2, epoch, str(path))
    for version in [*flips(data), *cuts(data), data + b"\0"]:
        with pytest.raises((log_record.LogCorruptError, UnsupportedError)) as refused:
            log_record.decode(version, 2, epoch, str(path))
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert log_record.decode(data, 2, epoch, str(path)) == sound
    with pytest.raises(log_record.LogCorruptError, match="envelope is wrong"):
        log_record.decode(data, 3, epoch, str(path))


@pytest.mark.parametrize(
    "told",
    [
        {"gone": [bytes(15)]},
        {"packs": [[bytes(17), 100, 1]]},
        {"refs": [["heads/main", None, bytes(31)]]},
        {"lost": [b""]},
        {"deleted": [[bytes(33), None]]},
        {"sealed": bytes(6)},
        {"operation": 7},
    ],
)
def test_a_log_record_that_cannot_be(small: Store, told: dict[str, object]) -> None:
    """Its checksum is right, and yet its ids have other lengths than ids have."""
    epoch = small._repository.chunks.facts.first_epoch
    body = msgspec.msgpack.encode({"write_id": bytes(16), "time_ns": 7, "operation": "commit", **told})
    for bad in (body, body[:-1], b"\xc1" + body):
        counts = struct.pack("<QQQ", 3, len(bad), 0)
        checksum = xxhash.xxh3_64_intdigest(counts + bad, seed=log_record.VERSION)
        data = log_record.MAGIC + counts + checksum.to_bytes(8, "little") + bad
        with pytest.raises(UnsupportedError, match="holds what this release does not know"):
            log_record.decode(data, 3, epoch, "here")


def test_a_store_whose_record_is_damaged_says_so_and_keeps_the_rest(small: Store) -> None:
    path = log_file(small, 2)
    for _ in damaged(path, iter(list(flips(path.read_bytes()))[::911])):
        shutil.rmtree(os.path.join(small.path, "index"))
        with pytest.raises((log_record.LogCorruptError, UnsupportedError), match="log record 2"):
            Store(small.path, options=ONE_THREAD).load("main")
    with Store(small.path, options=ONE_THREAD) as store:
        assert np.array_equal(store.load("main")["w"], STATE["w"] + 1)


def test_the_facts(small: Store) -> None:
    layout = Layout(small.path)
    path = Path(layout.facts)
    data = path.read_bytes()
    facts = read_facts(Disk(), layout)
    refused = []
    for _ in damaged(path, iter([*flips(data), *cuts(data)])):
        try:
            assert read_facts(Disk(), layout) == facts
        except CorruptError as error:
            refused.append(str(error))
    assert len(refused) > 1_500
    assert all("store.json" in text and "\n" not in text for text in refused)
    path.write_bytes(b" " * (1 << 20))
    with pytest.raises(DeltackptError, match="more than the 65536"):
        read_facts(Disk(), layout)


def test_trailing_garbage_and_missing_first_record(small: Store) -> None:
    first = log_file(small, 1)
    aside = first.with_suffix(".aside")
    first.rename(aside)
    shutil.rmtree(os.path.join(small.path, "index"))
    with pytest.raises(log_record.LogCorruptError, match=r"log record 1 .* missing"):
        Store(small.path, options=ONE_THREAD)
    aside.rename(first)
    assert Store(small.path, options=ONE_THREAD).verify(data=True).ok


def test_a_store_without_its_log_is_not_an_empty_store(small: Store) -> None:
    log_folder = Path(small.path, "log")
    log_folder.rename(log_folder.with_name("elsewhere"))
    shutil.rmtree(os.path.join(small.path, "index"))
    with pytest.raises(log_record.LogCorruptError, match="is missing, and with it all commits"):
        Store(small.path, options=ONE_THREAD)


def test_a_folder_for_packs_in_progress_may_be_lost(small: Store) -> None:
    os.rmdir(os.path.join(small.path, "tmp"))
    small.commit({"n": np.arange(500, dtype=np.uint16)})
    assert small.verify(data=True).ok
