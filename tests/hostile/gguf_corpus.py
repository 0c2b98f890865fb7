"""Damaged and hostile GGUF files, each with the error that it must get, and odd ones that are sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from damage import Damage, Sound

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME

U8, U32, F32, TEXT, ARRAY, U64 = 0, 4, 6, 8, 9, 10
Q4_0 = 2


def u32(number: int) -> bytes:
    return struct.pack("<I", number & 0xFFFFFFFF)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number & 0xFFFFFFFFFFFFFFFF)


def text(raw: bytes, length: int | None = None) -> bytes:
    return u64(len(raw) if length is None else length) + raw


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return text(name) + u32(kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return u32(kind) + u64(count) + items


def info(name: bytes, extents: Sequence[int], kind: int = 0, offset: int = 0, rank: int | None = None) -> bytes:
    dimensions = b"".join(map(u64, extents))
    return text(name) + u32(len(extents) if rank is None else rank) + dimensions + u32(kind) + u64(offset)


def gguf(
    keys: Sequence[bytes] = (),
    infos: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    tensors: int | None = None,
    count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A file; ``tensors`` and ``count`` are lies about the number of infos and keys."""
    head = b"GGUF" + u32(version)
    head += u64(len(infos) if tensors is None else tensors) + u64(len(keys) if count is None else count)
    head += b"".join(keys) + b"".join(infos)
    return head + bytes(-len(head) % alignment) + data


ONE = info(b"a", [1])
DATA = b"\0\0\x80\x3f"
GOOD = gguf([], [ONE], DATA)
NAME = key(b"general.name", TEXT, text(b"m"))


def damaged() -> Iterator[Damage]:
    """All of them, the file's first bytes first."""
    yield from damaged_heads()
    yield from damaged_keys()
    yield from damaged_values()
    yield from damaged_arrays()
    yield from damaged_alignments()
    yield from damaged_names()
    yield from damaged_shapes()
    yield from damaged_offsets()


def damaged_heads() -> Iterator[Damage]:
    text = "the version at byte 4; expected 4 bytes, found 0 before the end"
    yield Damage("magic only", b"GGUF", FormatError, text)
    for version in (0, 1, 4, 1000):
        text = f"the version at byte 4; expected 2 or 3, found {version}"
        yield Damage(f"version {version}", gguf(version=version), UnsupportedError, text)
    text = (
        "the version at byte 4; expected a little-endian file; convert it with gguf_convert_endian.py, found 0x3000000"
    )
    yield Damage("big-endian", gguf(version=3 << 24), UnsupportedError, text)
    for label, count in (("-1", -1), ("2^60", 1 << 60), ("2^61", 1 << 61), ("65,537", 65537)):
        found = count & 0xFFFFFFFFFFFFFFFF
        text = f"the number of tensors at byte 8; expected at most 65536, found {found}"
        yield Damage(f"{label} tensors", gguf(tensors=count), LimitError, text)
        text = f"the number of keys at byte 16; expected at most 65536, found {found}"
        yield Damage(f"{label} keys", gguf(count=count), LimitError, text)
    text = "the number of tensors at byte 8; expected at most 0, for which there is room, found 1"
    yield Damage("one tensor and no info", gguf(tensors=1), FormatError, text)
    text = "the number of keys at byte 16; expected at most 3, for which there is room, found 65536"
    yield Damage("65,536 keys and one", gguf([NAME], count=65536), FormatError, text)


def damaged_keys() -> Iterator[Damage]:
    for label, length in (("65,536", 65536), ("2^63", 1 << 63), ("2^64 - 1", -1)):
        text = f"a key's length at byte 24; expected at most 65535, found {length & 0xFFFFFFFFFFFFFFFF}"
        yield Damage(f"a key of {label} bytes", gguf([u64(length) + bytes(13)]), LimitError, text)
    text = "a key at byte 32; expected 1000 bytes, found 21 before the end"
    yield Damage("a key longer than the file", gguf([u64(1000) + bytes(21)], alignment=1), FormatError, text)
    text = "the keys at byte 57; expected each key once, found key 'general.name' again"
    yield Damage("one key twice", gguf([NAME, NAME]), FormatError, text)
    text = r"the type of key 'a\x1b' at byte 34; expected 0 to 12, found 99"
    yield Damage("an escape in a key, and a bad type", gguf([key(b"a\x1b", 99, bytes(9))]), UnsupportedError, text)
    text = r"the type of key '\\xff' at byte 33; expected 0 to 12, found 13"
    yield Damage("a key that is not UTF-8, and a bad type", gguf([key(b"\xff", 13, bytes(9))]), UnsupportedError, text)


def damaged_values() -> Iterator[Damage]:
    for label, length in (("2^60", 1 << 60), ("2^63", 1 << 63), ("2^64 - 1", (1 << 64) - 1)):
        text = f"key 'k' at byte 45; expected {length} bytes, found 19 before the end"
        yield Damage(f"a text of {label} bytes", gguf([key(b"k", TEXT, u64(length))]), FormatError, text)
    text = "key 'k' at byte 37; expected 8 bytes, found 1 before the end"
    yield Damage("a number cut off", gguf([key(b"k", U64, b"x")], alignment=1), FormatError, text)


def damaged_arrays() -> Iterator[Damage]:
    for kind, count, room in (
        (U8, 1 << 60, 15),
        (F32, 1 << 61, 3),
        (TEXT, 1 << 61, 1),
        (ARRAY, 1 << 60, 1),
        (U64, 2, 1),
    ):
        text = f"key 'k' at byte 41; expected at most {room} items, for which there is room, found {count}"
        yield Damage(
            f"an array of {count} items of type {kind}", gguf([key(b"k", ARRAY, array(kind, count))]), FormatError, text
        )
    text = "the type of key 'k' at byte 45; expected 0 to 12, found 14"
    yield Damage(
        "an array of an unknown type", gguf([key(b"k", ARRAY, array(14, 1, bytes(8)))]), UnsupportedError, text
    )
    text = "key 'k' at byte 57; expected 255 bytes, found 7 before the end"
    raw = gguf([key(b"k", ARRAY, array(TEXT, 1, u64(255)))])
    yield Damage("a text in an array that lies", raw, FormatError, text)
    text = "key 'k' at byte 85; expected arrays at most 4 deep, found one more within"
    for depth in (5, 100_000):
        nested = array(ARRAY, 1) * depth + array(U8, 0)
        yield Damage(f"arrays {depth} deep", gguf([key(b"k", ARRAY, nested)]), LimitError, text)
    text = "key 'k' at byte 49; expected at most 2097152 texts in arrays, found 2097153 up to here"
    raw = gguf([key(b"k", ARRAY, array(TEXT, (1 << 21) + 1, bytes(8 * ((1 << 21) + 1))))])
    yield Damage("more than two million texts", raw, LimitError, text)
    million = key(b"k", ARRAY, array(TEXT, 1 << 20, bytes(8 << 20)))
    text = "key 'l' at byte 8388682; expected at most 2097152 texts in arrays, found 3145728 up to here"
    raw = gguf([million, key(b"l", ARRAY, array(TEXT, 1 << 21, bytes(16 << 20)))])
    yield Damage("more than two million texts in two arrays", raw, LimitError, text)


def damaged_alignments() -> Iterator[Damage]:
    def aligned(kind: int, value: bytes) -> bytes:
        return gguf([key(b"general.alignment", kind, value)], [ONE], DATA)

    for alignment in (0, 13, 24, 0xFFFFFFFF):
        text = f"key 'general.alignment' at byte 53; expected a power of two, found {alignment}"
        yield Damage(f"alignment {alignment}", aligned(U32, u32(alignment)), FormatError, text)
    text = "key 'general.alignment' at byte 53; expected at most 1048576, found 2147483648"
    yield Damage("alignment 2^31", aligned(U32, u32(1 << 31)), LimitError, text)
    text = "the type of key 'general.alignment' at byte 49; expected 4 (uint32), found 10"
    yield Damage("alignment of another type", aligned(U64, u64(32)), FormatError, text)


def damaged_names() -> Iterator[Damage]:
    for length in (4097, 1 << 60, (1 << 64) - 1):
        text = f"the length of a tensor's name at byte 24; expected at most 4096, found {length}"
        yield Damage(f"a name of {length} bytes", gguf([], [u64(length) + bytes(40)]), LimitError, text)
    text = r"a tensor's name at byte 33; expected UTF-8, found b'\xff'"
    yield Damage("a name that is not UTF-8", gguf([], [info(b"a\xff", [1])], DATA), FormatError, text)
    for name in ("../x", "/abs", "a\0b", "C:\\x", "a/..", "\\x"):
        text = f"a tensor's name at byte 24; expected {SAFE_NAME}, found {name!r}"
        yield Damage(f"name {name!r}", gguf([], [info(name.encode(), [1])], DATA), UnsafeError, text)
    text = "the tensor infos at byte 57; expected each name once, found 'a' again"
    yield Damage("one name twice", gguf([], [ONE, info(b"a", [1], 0, 32)], bytes(36)), FormatError, text)


def damaged_shapes() -> Iterator[Damage]:
    for rank in (5, 1 << 31):
        text = f"the dimensions of tensor 'a' at byte 33; expected at most 4, found {rank}"
        yield Damage(f"{rank} dimensions", gguf([], [info(b"a", [1], rank=rank)], DATA), LimitError, text)
    for label, extents, kind in (
        ("negative", [-1], 0),
        ("of 2^63", [1 << 63], 24),
        ("that overflows", [1 << 32, 1 << 32], 0),
        ("that overflows beside a zero", [0, 1 << 62, 4], 0),
        ("that wraps around to 4 bytes", [(1 << 62) + 1], 0),
        ("of blocks that overflows", [1 << 62, 32], Q4_0),
    ):
        shown = [extent & 0xFFFFFFFFFFFFFFFF for extent in extents]
        text = f"the dimensions of tensor 'a' at byte 33; expected at most 9223372036854775807 bytes, found {shown}"
        yield Damage(f"a shape {label}", gguf([], [info(b"a", extents, kind)], DATA), LimitError, text)
    for extent in (1, 31, 33):
        text = (
            "the dimensions of tensor 'a' at byte 33; expected a first dimension of whole blocks of 32 for gguf.q4_0,"
            f" found [{extent}]"
        )
        yield Damage(
            f"{extent} values of blocks of 32", gguf([], [info(b"a", [extent], Q4_0)], bytes(64)), FormatError, text
        )
    text = "the dimensions of tensor 'a' at byte 33; expected a first dimension of whole blocks of 32 for gguf.q4_0, "
    yield Damage("a scalar of blocks", gguf([], [info(b"a", [], Q4_0)], bytes(64)), FormatError, text)
    for kind in (4, 5, 31, 36, 42, 1 << 31):
        raw = gguf([], [info(b"a", [32], kind)], bytes(64))
        text = "the type of tensor 'a' at byte 45; expected a number of 0, 1, 2, 3, 6,"
        yield Damage(f"tensor type {kind}", raw, UnsupportedError, text)


def damaged_offsets() -> Iterator[Damage]:
    for offset in (1, 31, (1 << 64) - 1):
        text = f"the offset of tensor 'a' at byte 49; expected a multiple of 32, found {offset}"
        yield Damage(f"offset {offset}", gguf([], [info(b"a", [1], 0, offset)], bytes(64)), FormatError, text)
    for offset in (32, 1 << 40, (1 << 64) - 32):
        text = f"tensor 'a' leaves a hole after the header at byte {64 + offset}; expected offset 64, found"
        yield Damage(f"offset {offset} past the end", gguf([], [info(b"a", [1], 0, offset)], DATA), FormatError, text)
    text = "the data is cut off at byte 67; expected a file of 68 bytes, found 67"
    yield Damage("the last byte missing", GOOD[:-1], FormatError, text)
    text = "the data is cut off at byte 57; expected a file of 68 bytes, found 57"
    yield Damage("no padding and no data", GOOD[:57], FormatError, text)
    text = "the data is cut off at byte 68; expected a file of 1125899906842688 bytes, found 68"
    yield Damage("a petabyte declared", gguf([], [info(b"a", [1 << 50], 24)], DATA), FormatError, text)
    for label, first, second in (("overlap", [16], 32), ("one place, two names", [8], 0)):
        raw = gguf([], [info(b"a", first), info(b"b", [8], 0, second)], bytes(64))
        text = f"tensor 'b' overlaps tensor 'a' at byte {96 + second}; expected offset {96 + 4 * first[0]}"
        yield Damage(f"two tensors: {label}", raw, FormatError, text)
    text = "a hole between tensors at byte 128; expected padding of fewer than 32 bytes, found 32"
    yield Damage("a hole", gguf([], [info(b"a", [8]), info(b"b", [8], 0, 64)], bytes(96)), FormatError, text)
    text = "a hole between tensors at byte 64; expected padding of fewer than 32 bytes, found 32"
    yield Damage("a hole before the first tensor", gguf([], [info(b"a", [8], 0, 32)], bytes(64)), FormatError, text)
    text = "trailing bytes at byte 68; expected padding of fewer than 32 bytes, found 32"
    yield Damage("a trailing block", GOOD + bytes(32), FormatError, text)
    text = "trailing bytes at byte 68; expected padding of fewer than 32 bytes, found 68"
    yield Damage("a second file behind", GOOD + GOOD, FormatError, text)


def sound() -> Iterator[Sound]:
    yield Sound("nothing at all", gguf(), ())
    yield Sound("keys only, without padding", gguf([NAME], alignment=1), ())
    yield Sound("version 2", gguf([], [ONE], DATA, version=2), ("a",))
    yield Sound("padding behind the last tensor", GOOD + bytes(28), ("a",))
    yield Sound("padding that is not zero", GOOD + b"x" * 28, ("a",))
    yield Sound("a scalar", gguf([], [info(b"a", [])], DATA), ("a",))
    yield Sound("a tensor without elements", gguf([], [info(b"a", [0, 7])]), ("a",))
    yield Sound("two tensors out of order", gguf([], [info(b"a", [1], 0, 32), info(b"b", [1])], bytes(36)), ("b", "a"))
    yield Sound("four dimensions", gguf([], [info(b"a", [1, 1, 1, 1])], DATA), ("a",))
    yield Sound(
        "arrays four deep", gguf([key(b"k", ARRAY, array(ARRAY, 1) * 3 + array(U8, 2, b"xy"))], [ONE], DATA), ("a",)
    )
    yield Sound("an empty array of texts", gguf([key(b"k", ARRAY, array(TEXT, 0))], [ONE], DATA), ("a",))
    yield Sound("a text that is not UTF-8", gguf([key(b"k", TEXT, text(b"\xff"))], [ONE], DATA), ("a",))
    yield Sound("the empty key", gguf([key(b"", U8, b"x")], [ONE], DATA), ("a",))
    yield Sound("the empty name", gguf([], [info(b"", [1])], DATA), ("",))
    yield Sound("a name with an escape sequence", gguf([], [info(b"\x1b[31m", [1])], DATA), ("\x1b[31m",))
    yield Sound("alignment 1", gguf([key(b"general.alignment", U32, u32(1))], [ONE], DATA, alignment=1), ("a",))
    wide = gguf([key(b"general.alignment", U32, u32(1 << 20))], [ONE], DATA, alignment=1 << 20)
    yield Sound("alignment of a megabyte", wide, ("a",))
    split = [
        key(b"split.no", 2, b"\x07\0"),
        key(b"split.count", 2, b"\xff\xff"),
        key(b"split.tensors.count", 5, u32(-1)),
    ]
    yield Sound("a split index that lies", gguf(split, [ONE], DATA), ("a",))
