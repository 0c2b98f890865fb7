"""Damaged and hostile TensorFlow indexes, each with the error that it must get, and odd ones that are sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from damage import FolderDamage, FolderSound
from protobuf_bytes import block as delimited
from protobuf_bytes import number
from sstable_bytes import HEADER, block, entry, footer, handle, index, pairs, sealed, shape, table, tensor

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME

DATA = "c.data-00000-of-00001"
GOOD = index((b"a", tensor()))
SEALED = sealed(pairs(HEADER, (b"a", tensor())))


def folder(raw: bytes, data: bytes = bytes(16)) -> dict[str, bytes]:
    return {"c.index": raw, DATA: data}


def damaged() -> Iterator[FolderDamage]:
    for label, raw, error, text in (
        *damaged_footers(),
        *damaged_blocks(),
        *damaged_entries(),
        *damaged_orders(),
        *damaged_headers(),
        *damaged_tensors(),
        *hostile_names(),
    ):
        yield FolderDamage(label, folder(raw), "c.index", error, text)


Case = tuple[str, bytes, type[FormatError], str]


def damaged_footers() -> Iterator[Case]:
    yield "an empty index", b"", FormatError, "c.index: the footer at byte 0; expected 48 bytes, found a file of 0"
    yield "47 bytes", bytes(47), FormatError, "c.index: the footer at byte 0; expected 48 bytes, found a file of 47"
    text = f"c.index: the magic at byte {len(GOOD) - 8}; expected b'W\\xfb"
    yield "another magic", GOOD[:-1] + b"x", FormatError, text
    text = "c.index: the footer at byte 0; expected two handles of blocks, found b'\\xff"
    yield "a footer without an end", b"\xff" * 40 + GOOD[-8:], FormatError, text
    for label, place in (
        ("past the end", handle(1000, 8)),
        ("of 2^63 bytes", handle(0, 1 << 63)),
        ("in the footer", handle(0, 1)),
    ):
        text = "c.index: the index block at byte 0; expected a block that ends before the footer at 0, found "
        yield f"an index block {label}", footer(place), FormatError, text
    text = "c.index: the size of the index at byte 0; expected at most 16777216, found 16777217"
    yield "an index beyond 16 MiB", bytes((16 << 20) + 1), LimitError, text


def damaged_blocks() -> Iterator[Case]:
    plain = pairs(HEADER, (b"a", tensor()))
    for kind, error, found in ((1, UnsupportedError, "snappy"), (7, UnsupportedError, "7")):
        text = f"c.index: the compression of a data block at byte {len(plain)}; expected none, found {found}"
        yield f"compression {kind}", table(sealed(plain, kind)), error, text
    text = f"c.index: the checksum of a data block at byte {len(plain) + 1}; expected 0x"
    yield "a wrong checksum of a data block", table(sealed(plain, crc=0)), FormatError, text
    place = len(GOOD) - 48 - 4
    text = f"c.index: the checksum of the index block at byte {place}; expected 0x"
    yield "a wrong checksum of the index block", GOOD[:place] + bytes(4) + GOOD[place + 4 :], FormatError, text
    for size in range(4):
        text = f"c.index: a block at byte 0; expected at least 4 bytes, found {size}"
        yield f"a block of {size} bytes", table(sealed(bytes(size))), FormatError, text
    for count, room in ((0, len(plain) // 4 - 1), (1 << 31, len(plain) // 4 - 1), (0xFFFFFFFF, len(plain) // 4 - 1)):
        text = (
            f"c.index: the number of restarts at byte {len(plain) - 4}; expected 1 to {room}, for which there is room"
        )
        yield f"{count} restarts", table(sealed(plain[:-4] + struct.pack("<I", count))), FormatError, text
    for restart in (1, 1 << 31):
        text = (
            f"c.index: a restart at byte {len(plain) - 8}; expected the place of an entry that shares nothing, found "
        )
        yield f"a restart at {restart}", table(sealed(plain[:-8] + struct.pack("<II", restart, 1))), FormatError, text
    text = "c.index: an entry at byte 0; expected an entry that shares at most 0 bytes"
    yield (
        "restarts that reach into the entries",
        table(sealed(plain[:-4] + struct.pack("<I", len(plain) // 4 - 1))),
        FormatError,
        text,
    )


def damaged_entries() -> Iterator[Case]:
    def first(raw: bytes) -> bytes:
        return table(sealed(block(raw)))

    for label, raw in (
        ("shares what is not there", entry(b"a", b"", shared=1)),
        ("has a value past the block", entry(b"a", b"v", length=1000)),
        ("has a value of 2^63 bytes", entry(b"a", b"v", length=1 << 63)),
    ):
        text = "c.index: an entry at byte 0; expected an entry that shares at most 0 bytes and ends by byte "
        yield f"an entry that {label}", first(raw), FormatError, text
    text = "c.index: an entry at byte 0; expected three lengths, found b'\\xff\\xff\\xff"
    yield "an entry without lengths", first(b"\xff\xff\xff"), FormatError, text
    text = "c.index: a key at byte 0; expected at most 8192 bytes, found 8193"
    yield "a key of 8,193 bytes", first(entry(b"k" * 8193, b"")), LimitError, text
    many = entry(*HEADER) + b"".join(entry(struct.pack(">I", i), b"") for i in range(1 << 16))
    text = "c.index: the entries at byte 458761; expected at most 65536, found one more"
    yield "65,537 entries", first(many), LimitError, text


def damaged_orders() -> Iterator[Case]:
    text = "c.index: the keys at byte 31; expected keys in order, found b'a' after b'a'"
    yield "a key twice", index((b"a", tensor()), (b"a", tensor(8))), FormatError, text
    text = "c.index: the keys at byte 31; expected keys in order, found b'a' after b'b'"
    yield "keys out of order", index((b"b", tensor()), (b"a", tensor(8))), FormatError, text
    text = "c.index: the keys at byte 44; expected keys in order, found b'a' after b'b'"
    swapped = table(sealed(pairs(HEADER, (b"b", tensor()))), sealed(pairs((b"a", tensor(8)))))
    yield "blocks out of order", swapped, FormatError, text
    size, two = len(SEALED) - 5, 2 * len(SEALED)
    for label, pointers, end in (
        ("a block that is its own successor", [handle(0, size)] * 1000, len(SEALED)),
        ("blocks in a circle", [handle(len(SEALED), size), handle(0, size)] * 500, two),
        ("blocks that overlap", [handle(0, size), handle(1, size)], len(SEALED)),
    ):
        text = f"c.index: the index block at byte {two + 12}; expected a block at byte {end} or behind, found one at "
        yield label, table(SEALED, SEALED, pointers=pointers), FormatError, text
    text = "c.index: the index block at byte 23506; expected at most 1024 blocks, found one more"
    empty = sealed(block(b""))
    yield "1,025 blocks", table(SEALED, *[empty] * 1024), LimitError, text
    for label, pointer in (("without an end", b"\xff"), ("that are empty", b"")):
        text = f"c.index: the index block at byte {len(SEALED) + 5}; expected the handle of a block, found "
        yield f"handles {label}", table(SEALED, pointers=[pointer]), FormatError, text
    text = f"c.index: the first key at byte {len(SEALED) + 5}; expected the empty key of the header, found 'k0'"
    yield "an index that points to itself", table(SEALED, pointers=[handle(len(SEALED), 15)]), FormatError, text


def damaged_headers() -> Iterator[Case]:
    text = "c.index: the entries at byte 0; expected a header, found none"
    yield "no entries", table(sealed(block(b""))), FormatError, text
    yield "no blocks", table(), FormatError, text
    text = "c.index: the first key at byte 4; expected the empty key of the header, found 'a'"
    yield "no header", table(sealed(pairs((b"a", tensor())))), FormatError, text
    for shards in (0, 100_000, -1):
        text = f"c.index: the number of shards at byte 3; expected 1 to 99999, found {shards & 0xFFFFFFFFFFFFFFFF}"
        yield f"{shards} shards", table(sealed(pairs((b"", number(1, shards))))), FormatError, text
    text = "c.index: the byte order at byte 3; expected little-endian, found big-endian"
    yield "a big-endian checkpoint", table(sealed(pairs((b"", number(1, 1) + number(2, 1))))), UnsupportedError, text


def damaged_tensors() -> Iterator[Case]:
    def one(**lies: object) -> bytes:
        return index((b"a", tensor(**lies)))  # type: ignore[arg-type]

    for shard in (1, 99_999, -1):
        text = f"c.index: the shard of tensor 'a' at byte 13; expected 0 to 0, found {shard & 0xFFFFFFFFFFFFFFFF}"
        yield f"shard {shard}", one(shard=shard), FormatError, text
    for size in (0, 7, 9, 1 << 50, -1):
        found = size & 0xFFFFFFFFFFFFFFFF
        text = f"c.index: the size of tensor 'a' at byte 13; expected 8 bytes for float32 [2], found {found}"
        yield f"a size of {size}", one(size=size), FormatError, text
    text = "c.index: the shape of tensor 'a' at byte 13; expected no dimension below 0, found [-1]"
    yield "a negative dimension", one(dims=shape(-1)), FormatError, text
    for extents in ((1 << 62,), (1 << 32, 1 << 32), (0, 1 << 62)):
        text = "c.index: the shape of tensor 'a' at byte 13; expected at most 9223372036854775807 bytes, found "
        yield f"dimensions {extents}", one(dims=shape(*extents)), LimitError, text
    text = "c.index: a shape at byte "
    yield "65 dimensions", one(dims=shape(*[1] * 65)), LimitError, text
    yield "a number for a shape", one(dims=number(2, 1)), FormatError, "c.index: a shape at byte 15; expected a message"
    yield (
        "a number for a dimension",
        one(dims=delimited(2, number(2, 1))),
        FormatError,
        "c.index: a dimension at byte 17; expected a message",
    )
    yield "a value that is cut off", index((b"a", tensor()[:3])), FormatError, "c.index: an entry at byte 15; expected "
    text = f"{DATA}: the data is cut off at byte 16; expected a file of 17 bytes, found 16"
    yield "a byte past the end", one(offset=9), FormatError, text
    text = f"{DATA}: tensor 'a' leaves a hole after the start of the file at byte {1 << 50}; expected offset 0"
    yield "an offset of a petabyte", one(offset=1 << 50), FormatError, text
    text = f"{DATA}: tensor 'a' leaves a hole after the start of the file at byte {(1 << 64) - 8}; expected offset 0"
    yield "a negative offset", one(offset=-8), FormatError, text
    text = f"{DATA}: tensor 'b' overlaps tensor 'a' at byte 4; expected offset 8, found 4"
    yield "two tensors that overlap", index((b"a", tensor()), (b"b", tensor(4))), FormatError, text
    text = f"{DATA}: tensor 'b' overlaps tensor 'a' at byte 0; expected offset 8, found 0"
    yield "one place, two names", index((b"a", tensor()), (b"b", tensor())), FormatError, text


def hostile_names() -> Iterator[Case]:
    for name in ("../x", "/abs", "a\0b", "a/.."):
        text = f"c.index: a name at byte {12 + len(name)}; expected {SAFE_NAME}, found {name!r}"
        yield f"name {name!r}", index((name.encode(), tensor())), UnsafeError, text
    text = r"c.index: a name at byte 13; expected UTF-8, found '\\xff'"
    yield "a name that is not UTF-8", index((b"\xff", tensor())), FormatError, text
    text = "c.index: a name at byte 4110; expected at most 4096 bytes, found 4097"
    yield "a name of 4,097 bytes", index((b"n" * 4097, tensor())), LimitError, text


def sound() -> Iterator[FolderSound]:
    def case(label: str, raw: bytes, *names: str) -> FolderSound:
        return FolderSound(label, folder(raw), {DATA: names} if names else {})

    yield case("one tensor", GOOD, "a")
    yield case("a header alone", index())
    yield case("two blocks", table(SEALED, sealed(pairs((b"b", tensor(8))))), "a", "b")
    shared = entry(*HEADER) + entry(b"abc", tensor()) + entry(b"d", tensor(8), shared=2)
    yield case("keys that share a beginning", table(sealed(block(shared))), "abc", "abd")
    first = len(entry(*HEADER) + entry(b"abc", tensor()))
    restarted = entry(*HEADER) + entry(b"abc", tensor()) + entry(b"abd", tensor(8))
    yield case("two restarts", table(sealed(block(restarted, (0, first)))), "abc", "abd")
    yield case("texts", index((b"a", tensor(dtype=7))))
    yield case("an unknown element type", index((b"a", tensor(dtype=999))))
    yield case("a tensor of unknown rank", index((b"a", tensor(dims=delimited(2, number(3, 1))))))
    yield case("a variable in slices", index((b"a", tensor(size=0) + delimited(7, b""))))
    yield case("a slice", index((b"\0a\0\1xyz", tensor()), (b"a", tensor(size=0) + delimited(7, b""))), "a")
    suffix = b"a/.ATTRIBUTES/VARIABLE_VALUE"
    yield case("two keys, one name", index((b"a", tensor()), (suffix, tensor(8))), "a", "a#2")
    yield case("no elements", index((b"a", tensor(8, 0, shape(0)))), "a")
    yield case("a scalar", index((b"a", tensor(0, 4, b""))), "a")
    yield case("an unknown field", index((b"a", tensor() + number(99, 1))), "a")
    two = number(1, 2)
    raw = table(sealed(pairs((b"", two), (b"a", tensor()), (b"b", tensor(shard=1)))))
    both = {"c.index": raw, "c.data-00000-of-00002": bytes(8), "c.data-00001-of-00002": bytes(8)}
    yield FolderSound("two shards", both, {"c.data-00000-of-00002": ("a",), "c.data-00001-of-00002": ("b",)})
    one = {path: content for path, content in both.items() if "00001" not in path}
    yield FolderSound("a shard that is missing", one, {"c.data-00000-of-00002": ("a",)})
    yield FolderSound("another file that ends in .index", {"c.index": b"hello", "c.data": b"x"}, {})
