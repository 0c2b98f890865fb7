"""The bytes of docs/format, made and read back: a page and the code cannot part."""

from __future__ import annotations

import struct

import msgspec
import pytest
from documents import ROOT, blocks, golden

from deltackpt.chunkstore import log_record, pack, record
from deltackpt.chunkstore.facts import StoreFacts, read_facts
from deltackpt.chunkstore.layout import Layout, epoch_named, pack_named, record_number, segment_named
from deltackpt.chunkstore.location import InlineRecord, Location, inline_pack, inline_record, locations
from deltackpt.chunkstore.tables import TABLES
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, EpochId, PackId

PAGES = ROOT / "docs" / "format"
PACK = PackId(bytes(range(16)))
EPOCH = EpochId(bytes(range(0xA0, 0xA7)))
WEIGHTS = ChunkId.of(b"weights weights ")
HEAD = record.RecordHead(record.Kind.DATA, 0, 8, 0, 0.5, 16, (record.Member(WEIGHTS, 16),))
MEMBERS = (record.Member(ChunkId.of(b"bias"), 4), record.Member(ChunkId.of(b"ok"), 2))
BUNDLE = record.RecordHead(record.Kind.OBJECT, 0, 0, 1, 1.25, 6, MEMBERS, (WEIGHTS, WEIGHTS))


def sealed(head: record.RecordHead, payload: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in record.seal(head, [payload]))


@pytest.mark.parametrize(
    ("name", "head", "payload"), [("record", HEAD, b"weights " * 2), ("bundle", BUNDLE, b"biasok")]
)
def test_a_record(name: str, head: record.RecordHead, payload: bytes) -> None:
    data = golden("pack.md", name)
    assert sealed(head, payload) == data
    assert record.check(memoryview(data), "here") == (head, payload)
    assert head.stored_length == len(data)


def test_a_pack(tmp_path: object) -> None:
    data = golden("pack.md", "pack")
    body = pack.header(PACK) + sealed(HEAD, b"weights " * 2)
    entries = [pack.PackEntry(pack.HEADER_SIZE, HEAD)]
    assert body + pack.footer_and_trailer(PACK, entries, len(body)) == data
    path = f"{tmp_path}/{PACK}.pack"
    with open(path, "wb") as file:
        file.write(data)
    assert pack.read_entries(Disk(), path, PACK) == entries


def test_a_log_record() -> None:
    data = golden("log.md", "log record 7")
    body = log_record.LogRecord(
        write_id=bytes(16),
        time_ns=1_700_000_000_000_000_000,
        operation="commit",
        actor="host:1",
        refs=(log_record.RefMove("heads/main", None, bytes(WEIGHTS)),),
        packs=(log_record.PackAdded(PACK, 248, 1),),
    )
    assert log_record.encode(7, body, golden("pack.md", "bundle")) == data
    read = log_record.decode(data, 7, EPOCH, "here")
    assert read.record == body
    assert read.inline == golden("pack.md", "bundle")
    assert data[read.inline_offset :] == read.inline


def test_the_fields_of_a_log_record_are_on_the_page() -> None:
    text = (PAGES / "log.md").read_text()
    fields = [field.name for field in msgspec.structs.fields(log_record.LogRecord)]
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][-len(fields) :] == fields


def test_a_row_of_the_index() -> None:
    row = golden("index.md", "row")
    (first, _) = locations(PACK, 32, BUNDLE)
    assert first[1].pack_row() == row
    assert Location.from_row(row) == first[1]
    assert len(row) == 78


def test_the_tables_of_the_index_are_on_the_page() -> None:
    text = (PAGES / "index.md").read_text()
    assert all(f"| {table.decode()} |" in text for table in TABLES)


def test_inline_bytes_stand_for_a_pack() -> None:
    assert inline_pack(EPOCH, 258) == b"\xff" + EPOCH + struct.pack(">Q", 258)
    assert inline_record(inline_pack(EPOCH, 258)) == InlineRecord(EPOCH, 258)
    assert inline_record(PACK) is None
    assert inline_record(PackId.new()) is None


def test_the_facts_of_a_store(tmp_path: object) -> None:
    (text,) = [block.text for block in blocks(PAGES / "store.md") if block.language == "json"]
    with open(f"{tmp_path}/store.json", "w", encoding="utf-8") as file:
        file.write(text)
    facts = read_facts(Disk(), Layout(str(tmp_path)))
    assert facts.key == bytes.fromhex("00112233445566778899aabbccddeeff")
    assert facts.check == facts.checksum()
    page = (PAGES / "store.md").read_text()
    assert all(f"| {field.name} |" in page for field in msgspec.structs.fields(StoreFacts))


def test_names_of_files() -> None:
    layout = Layout("/s")
    assert layout.record(EPOCH, 42) == "/s/log/a0a1a2a3a4a5a6/0000000000000042.rec"
    assert layout.segment(EPOCH, 1042) == "/s/segments/0000000000001042-a0a1a2a3a4a5a6.seg"
    assert epoch_named("a0a1a2a3a4a5a6") == EPOCH
    assert segment_named("0000000000001042-a0a1a2a3a4a5a6.seg") == (1042, EPOCH)
    assert layout.pack(PACK) == "/s/packs/00/000102030405060708090a0b0c0d0e0f.pack"
    assert record_number("0000000000000042.rec") == 42
    assert pack_named(f"{PACK}.pack") == PACK
    strangers = [
        "42.rec",
        "0000000000000042.rec.tmp",
        "+000000000000042.rec",
        "٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠١.rec",
        ".x.tmp",
        "",
        "x.pack",
        "0000000000001042.seg",
        "0000000000001042-A0A1A2A3A4A5A6.seg",
        "0000000000001042-a0a1a2a3a4a5.seg",
        "a0a1a2a3a4a5a6a7",
        "A0A1A2A3A4A5A6",
    ]
    assert [record_number(name) for name in strangers] == [None] * len(strangers)
    assert [pack_named(name) for name in strangers] == [None] * len(strangers)
    assert [segment_named(name) for name in strangers] == [None] * len(strangers)
    assert [epoch_named(name) for name in strangers] == [None] * len(strangers)
