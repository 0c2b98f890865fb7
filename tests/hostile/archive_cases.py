"""Archives that lie, and sound ones that look odd."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from pickle_forge import STOP
from torch_case import DATA, DIRECTORY_AT, END_AT, EVIL, GOOD, PICKLE_AT, Case, saved
from zip_forge import Record, archive, wide_extra

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME

PICKLE, STORAGE = Record("m/data.pkl", GOOD), Record("m/data/0", DATA)
ENTRY = "entry 'm/data.pkl' at byte 0; expected "
LISTED = f"entry 'm/data.pkl' at byte {DIRECTORY_AT}; expected "
LOCATOR = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)


def refused(label: str, raw: bytes, text: str, kind: type[FormatError] = FormatError) -> Case:
    """Not one archive for every reader: all of it stays bytes."""
    return Case(label, raw, "zip", (), kind, text, None)


def listed(label: str, text: str, kind: type[FormatError] = FormatError, **central: Any) -> Case:
    """The directory lies about the pickle."""
    return refused(label, archive(Record("m/data.pkl", GOOD, central), STORAGE), text, kind)


def local(label: str, text: str, kind: type[FormatError] = FormatError, **facts: Any) -> Case:
    """The header before the pickle lies."""
    return refused(label, archive(Record("m/data.pkl", GOOD, {}, facts), STORAGE), text, kind)


def lying_entries() -> Iterator[Case]:
    sizes = "the sizes and checksum of the directory, found others"
    yield listed("an entry of 2^31 bytes", ENTRY + sizes, size=1 << 31, packed=1 << 31)
    beyond = f"at most {DIRECTORY_AT - PICKLE_AT} bytes, found {1 << 31}"
    yield listed("an entry past the directory", ENTRY + beyond, size=1 << 31, packed=1 << 31, flags=8)
    header = f"a header before byte {DIRECTORY_AT}, found one at {1 << 30}"
    yield listed("a header past the directory", LISTED + header, offset=1 << 30)
    magic = r"b'PK\x03\x04' and its name, found "
    yield listed("a header within data", "entry 'm/data.pkl' at byte 7; expected " + magic, offset=7)
    packed = f"{len(GOOD) + 1} stored bytes, found {len(GOOD)}"
    yield listed("stored bytes that are packed", LISTED + packed, size=len(GOOD) + 1, flags=8)
    yield listed("a method of its own", ENTRY + "method 8, as in the directory, found 0", method=8)
    yield listed("another checksum", ENTRY + sizes, crc=1)
    encrypted = "no encryption, found flags "
    yield listed("encrypted", LISTED + encrypted + "0x0801", UnsupportedError, flags=1)
    yield listed("strongly encrypted", LISTED + encrypted + "0x0840", UnsupportedError, flags=0x40)
    yield listed("a name past the directory", f"an entry of the directory at byte {DIRECTORY_AT}", name_length=0xFFFF)
    yield listed("another magic", f"an entry of the directory at byte {DIRECTORY_AT}; expected b'PK", magic=b"PK\1\3")
    yield local("encrypted in its own header", ENTRY + encrypted + "0x0001", UnsupportedError, flags=1)
    yield local("extra fields past the directory", ENTRY + "at most 0 bytes, found ", extra_length=0xFFFF)
    for label, other in (("another", "m/data.pkx"), ("a longer", "m/data.pkl2"), ("a shorter", "m/data.pk")):
        raw = archive(Record("m/data.pkl", GOOD, local_name=other), STORAGE)
        yield refused(f"{label} name in its own header", raw, ENTRY + magic)
    missing = LISTED + "1 numbers in a zip64 extra field, found fewer"
    for label, extra, text in (
        ("no zip64 length", b"", missing),
        ("a zip64 length cut off", wide_extra(7)[:-1], missing),
        ("another extra field", struct.pack("<2HQ", 2, 8, 7), missing),
        ("a zip64 length of 2^63", wide_extra(1 << 63), ENTRY + f"at most {DIRECTORY_AT - PICKLE_AT} bytes, found "),
    ):
        yield refused(label, archive(Record("m/data.pkl", GOOD, {"packed": 0xFFFFFFFF}, extra=extra), STORAGE), text)


def lying_names() -> Iterator[Case]:
    for evil in ("../evil", "m/../../evil", "/evil", "C:/evil", "m/a\0b", r"..\evil"):
        at = DIRECTORY_AT + 30 + len(evil) + END_AT - DIRECTORY_AT
        text = f"a name in the directory at byte {at}; expected {SAFE_NAME}, found {evil!r}"
        yield refused(f"an entry named {evil!r}", saved(GOOD, Record(evil, b"")), text, UnsafeError)
    long_name = "a name in the directory at byte "
    yield refused("a name of 5,000 bytes", saved(GOOD, Record("n" * 5000, b"")), long_name, LimitError)
    latin = saved(GOOD).replace(b"m/data/0", b"m/data/\xff")
    yield refused("a name that is not UTF-8", latin, long_name)
    yield refused("one name twice", saved(GOOD, STORAGE), "the directory at byte ")


def lying_places() -> Iterator[Case]:
    again = Record("m/data/1", b"", at=0)
    yield refused("two entries in one place", saved(GOOD, again), "entry 'm/data/1' at byte 0; expected b'PK")
    inner = archive(Record("m/x", b"ab"))[:35]
    nested = Record("m/x", b"ab", at=PICKLE_AT + len(GOOD))
    overlap = f"entry 'm/x' overlaps entry 'm/data.pkl' at byte {PICKLE_AT + len(GOOD)}; expected offset "
    yield refused("an entry within another", archive(Record("m/data.pkl", GOOD + inner), nested), overlap)


def lying_ends() -> Iterator[Case]:
    good = saved(GOOD)
    none = "; expected the record that ends it, found none"
    yield refused("cut off", good[:-1], f"a zip archive at byte {len(good) - 1}{none}")
    yield refused("without its directory", good[:DIRECTORY_AT], f"a zip archive at byte {DIRECTORY_AT}{none}")
    yield refused("trailing bytes", good + b"x", f"a zip archive at byte {len(good) + 1}{none}")
    yield refused("a comment that is not there", saved(GOOD, comment=7), f"a zip archive at byte {len(good)}{none}")

    def end(label: str, text: str, kind: type[FormatError] = FormatError, at: int = END_AT, **facts: int) -> Case:
        what, expected = text.split(" | ")
        return refused(label, saved(GOOD, **facts), f"{what} at byte {at}; expected {expected}", kind)

    one_piece = "an archive in one piece, found several disks"
    yield end("several disks", f"the end record | {one_piece}", disk=1)
    yield end("entries on another disk", f"the end record | {one_piece}", here=1)
    yield end("fewer entries than counted", "the directory | 3 entries in the ", count=3, here=3)
    more = DIRECTORY_AT + 46 + len("m/data.pkl")
    yield end("more entries than counted", "the directory | its end, found 54 more bytes", at=more, count=1, here=1)
    most = "the directory | at most 134217728 bytes, found "
    yield end("a directory of 4 GB", most + str(0xFFFFFFFE), LimitError, length=0xFFFFFFFE)
    yield end("a directory before the file", f"the directory | 2 entries in the {END_AT} bytes", length=1 << 20)
    past = f"the directory | an offset of at most {DIRECTORY_AT}, found "
    yield end("a directory past itself", past + str(DIRECTORY_AT + 1), offset=DIRECTORY_AT + 1)
    entries = f"the directory | at most 1048576 entries, found {1 << 60}"
    many = {"wide_count": 1 << 60, "wide_here": 1 << 60, "count": 0xFFFF, "here": 0xFFFF}
    yield end("2^60 entries", entries, LimitError, **many)
    wide = {"wide_length": 1 << 60, "length": 0xFFFFFFFF}
    yield end("a zip64 directory of 2^60 bytes", most + str(1 << 60), LimitError, **wide)
    yield end("a zip64 directory at 2^60", past + str(1 << 60), wide_offset=1 << 60, offset=0xFFFFFFFF)
    disagrees = "the end record | 2, as the zip64 record has it, found 1"
    yield end("a zip64 record that disagrees", disagrees, at=END_AT + 76, wide_count=2, count=1, here=1)
    before = "the zip64 locator | a zip64 record of 56 bytes before it, found none"
    yield end("a zip64 record of another size", before, at=END_AT + 56, wide_size=1 << 40)
    yield end("a zip64 record on several disks", f"the zip64 record | {one_piece}", wide_disks=2)
    alone = good[:END_AT] + LOCATOR + good[END_AT:]
    found = f"the zip64 locator at byte {END_AT}; expected a zip64 record of 56 bytes before it, found none"
    yield refused("a zip64 locator alone", alone, found)


def odd() -> Iterator[Case]:
    """Read as PyTorch reads them, or in part."""
    later, zero = {"flags": 8}, {"size": 0, "packed": 0, "crc": 0, "flags": 8}
    streamed = archive(Record("m/data.pkl", GOOD, later, zero), Record("m/data/0", DATA, later, zero))
    yield Case("sizes behind the data", streamed)
    wide = Record("m/data/0", DATA, {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}, extra=wide_extra(16, 16))
    yield Case("zip64 sizes", archive(PICKLE, wide))
    yield Case("a zip64 end record", saved(GOOD, wide_count=2))
    yield Case("no folder", archive(Record("data.pkl", GOOD), Record("data/0", DATA)))
    yield Case("records in another order", archive(STORAGE, PICKLE))
    yield Case("no checksum", archive(Record("m/data.pkl", GOOD, {"crc": 0}, {"crc": 0}), STORAGE))
    crc = archive(Record("m/data.pkl", GOOD, {"crc": 7}, {"crc": 7}), STORAGE)
    text = f"entry 'm/data.pkl' at byte {PICKLE_AT}; expected CRC-32 00000007, found "
    yield Case("a checksum that is not the pickle's", crc, "pytorch", (), FormatError, text, None)
    yield Case("a big-endian host's", saved(GOOD, Record("m/byteorder", b"big")), tensors=(), objections=None)
    middle = saved(GOOD, Record("m/byteorder", b"middle"))
    text = f"entry 'm/byteorder' at byte {DIRECTORY_AT + 41}; expected little or big, found b'middle'"
    yield Case("a byte order that is none", middle, "pytorch", (), FormatError, text, None)
    script = saved(GOOD, Record("m/constants.pkl", EVIL + STOP))
    yield Case("TorchScript with a payload", script, "torchscript", objections=None)
    cut = saved(GOOD, Record("m/constants.pkl", b""))
    text = f"the pickle ends early at byte {DIRECTORY_AT + 45}; expected an opcode, found 0"
    yield Case("TorchScript with its constants cut off", cut, "torchscript", ("w",), FormatError, text, None)
    code = archive(Record("m/code/run.py", b"import os"), Record("m/version", b"3"))
    text = "a zip archive at byte 0; expected one of PyTorch or NumPy, found 'm/code/run.py'"
    yield Case("code without a state", code, "zip", (), UnsupportedError, text, None)
    yield Case(
        "two archives, one with a payload", saved(GOOD) + saved(EVIL + STOP), "distcp", ("0/w",), objections=None
    )
    npz = archive(Record("../a.npy", b""))
    text = f"a name in the directory at byte 38; expected {SAFE_NAME}, found '../a.npy'"
    yield Case("an .npz with a name out of it", npz, "zip", (), UnsafeError, text, None)
    text = "a zip archive at byte 4; expected the record that ends it, found none"
    yield Case("the magic of zip alone", b"PK\3\4", "zip", (), FormatError, text, None)
