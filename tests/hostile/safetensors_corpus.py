"""Damaged and hostile safetensors files, each with the error that it must get, and odd ones that are sound.

A case says what is wrong in its label. ``stricter`` is filled where the official library accepts the file and we do
not: it holds the reason. Where it is None, the library refuses the file too.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME
from deltackpt.formats.safetensors.codes import BY_CODE


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that must be refused: by exactly ``error``, whose text after the file's name begins with ``text``."""

    label: str
    raw: bytes
    error: type[FormatError]
    text: str
    stricter: str | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that looks odd and is valid, with the names of its tensors in file order."""

    label: str
    raw: bytes
    names: tuple[str, ...]


def pack(header: bytes | dict[str, object], data: bytes = b"", length: int | None = None) -> bytes:
    """A file: the length of ``header`` (or the lie ``length``), the header, ``data``."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: object, offsets: object, dtype: object = "F32", **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


DATA = b"\x00\x00\x80\x3f"
GOOD: dict[str, object] = {"a": entry([1], [0, 4])}
GOOD_TEXT = json.dumps(GOOD, separators=(",", ":")).encode()
MEMBER = GOOD_TEXT[1:-1]
START = 8 + len(GOOD_TEXT)
NUL = r"b'\x00'"

AMBIGUOUS = "JSON parsers disagree which of two equal keys counts; the format forbids them"
SPACE_ONLY = "the format pads with spaces (0x20) only"
BRACE_FIRST = "the format begins with an opening brace"
UNKNOWN = "a field that we do not know may change what the bytes mean"
QUIRK = "an accident of the library's JSON layer, not in the format"
PATH = "some tool will take the name for a path"
LIMIT = "a stated limit"
STRIDES = "no framework can compute its strides"
HALF = "float4_e2m1fn_x2 holds two values in a byte; the official torch loader cannot read it either"
TEXT_MAP = "the format's metadata is a map of text to text"


def with_shape(text: bytes, offsets: bytes = b"[0,4]") -> bytes:
    return pack(b'{"a":{"dtype":"F32","shape":' + text + b',"data_offsets":' + offsets + b"}}", DATA)


def named(literal: bytes) -> bytes:
    """A good file whose one tensor has the JSON string ``literal`` for a name."""
    return pack(b'{"' + literal + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', DATA)


def damaged() -> Iterator[Damage]:
    """All of them, the file's first bytes first."""
    yield from damaged_lengths()
    yield from damaged_text()
    yield from damaged_json()
    yield from damaged_metadata()
    yield from damaged_entries()
    yield from damaged_dtypes()
    yield from damaged_shapes()
    yield from damaged_offsets()
    yield from damaged_tilings()
    yield from hostile_names()


def damaged_lengths() -> Iterator[Damage]:
    at = "the header's length at byte 0; expected "
    yield Damage("empty file", b"", FormatError, at + "8 bytes, found a file of 0 bytes")
    yield Damage("seven bytes", b"1234567", FormatError, at + "8 bytes, found a file of 7 bytes")
    nothing = "the header at byte 8; expected '{', found the end of the header"
    yield Damage("header length 0", pack(b""), FormatError, nothing)
    yield Damage("header length 0 before data", pack(b"", DATA), FormatError, nothing)
    text = "the header at byte 9; expected a name in double quotes and ':', found the end of the header"
    yield Damage("header length 1", pack(b"{"), FormatError, text)
    text = at + "at most the 58 bytes that follow, found 1000"
    yield Damage("header longer than the file", pack(GOOD, DATA, length=1000), FormatError, text)
    text = at + "at most the 54 bytes that follow, found 55"
    yield Damage("header longer by one byte", pack(GOOD, length=55), FormatError, text)
    text = "the header at byte 61; expected ',' or '}', found the end of the header"
    yield Damage("header shorter by one byte", pack(GOOD, DATA, length=53), FormatError, text)
    for label, length in (
        ("over 100 MB", 100_000_001),
        ("2^60", 1 << 60),
        ("2^63", 1 << 63),
        ("2^64-1", (1 << 64) - 1),
        ("in big-endian order", 54 << 56),
    ):
        text = at + f"at most 100000000, found {length}"
        yield Damage(f"header length {label}", pack(GOOD, DATA, length=length), LimitError, text)


def damaged_text() -> Iterator[Damage]:
    for label, literal, byte, found in (
        ("bad UTF-8", b"a\xff", 11, rb"b'\xff'"),
        ("cut UTF-8", b"a\xc3", 11, rb"b'\xc3'"),
        ("overlong UTF-8", b"\xc0\xaf", 10, rb"b'\xc0'"),
        ("a raw surrogate", b"\xed\xa0\x80", 10, rb"b'\xed'"),
    ):
        text = f"a string at byte {byte}; expected UTF-8, found {found.decode()}"
        yield Damage(f"name with {label}", named(literal), FormatError, text)
    for label, before, reason in (
        ("byte order mark", b"\xef\xbb\xbf", None),
        ("leading NUL", b"\0", None),
        ("leading comma", b",", None),
        ("leading space", b" ", BRACE_FIRST),
        ("leading newline", b"\n", BRACE_FIRST),
        ("leading tab", b"\t", BRACE_FIRST),
    ):
        text = f"the header at byte 8; expected '{{', found {repr(before)[:-1]}"
        yield Damage(label, pack(before + GOOD_TEXT, DATA), FormatError, text, reason)
    for header in (b"[]", b"7", b"null", b'"text"', b"true"):
        text = f"the header at byte 8; expected '{{', found {header!r}"
        yield Damage(f"header is {header.decode()}", pack(header), FormatError, text)
    for label, after, reason in (
        ("NUL padding", b"\0\0\0", None),
        ("a second object", b"{}", None),
        ("a second brace", b"}", None),
        ("a comment", b"//", None),
        ("newline padding", b"\n", SPACE_ONLY),
        ("tab padding", b"\t", SPACE_ONLY),
        ("carriage return padding", b"\r", SPACE_ONLY),
    ):
        text = f"the header goes on after its closing brace at byte {START}; expected spaces only, found {after!r}"
        yield Damage(label, pack(GOOD_TEXT + after, DATA), FormatError, text, reason)
    text = f"the header goes on after its closing brace at byte {START + 1}; expected spaces only, found {NUL}"
    yield Damage("NUL after space padding", pack(GOOD_TEXT + b" \0", DATA), FormatError, text)


def damaged_json() -> Iterator[Damage]:
    for label, header, byte, found in (
        ("not JSON", b"{abc}", 9, "b'abc}'"),
        ("UTF-16", GOOD_TEXT.decode().encode("utf-16-le"), 9, r"""b'\x00"\x00a\x00"""),
        ("comma first", b"{," + MEMBER + b"}", 9, 'b\',"a":'),
        ("comma last", b"{" + MEMBER + b",}", 62, "b'}'"),
        ("missing colon", GOOD_TEXT.replace(b'"a":', b'"a"'), 9, 'b\'"a"{'),
        ("single quotes", GOOD_TEXT.replace(b'"', b"'"), 9, "b\"'a':"),
        ("bare name", GOOD_TEXT.replace(b'"a"', b"a"), 9, "b'a:{"),
        ("name without end", b'{"a', 9, "b'\"a'"),
        ("name that ends in a backslash", b'{"a\\', 9, r"""b'"a\\'"""),
        ("raw newline in a name", named(b"a\nb")[8:], 9, r"""b'"a\nb":"""),
        ("raw ESC in a name", named(b"\x1b[31m")[8:], 9, r"""b'"\x1b[31m":"""),
        ("raw NUL in a name", named(b"a\0b")[8:], 9, r"""b'"a\x00b":"""),
    ):
        text = f"the header at byte {byte}; expected a name in double quotes and ':', found {found}"
        yield Damage(label, pack(header, DATA), FormatError, text)
    text = "the header at byte 61; expected ',' or '}', found "
    twice = b"{" + MEMBER + MEMBER.replace(b'"a"', b'"b"') + b"}"
    yield Damage("missing comma", pack(twice, DATA), FormatError, text + 'b\'"b":')
    yield Damage("no closing brace", pack(GOOD_TEXT[:-1], DATA), FormatError, text + "the end of the header")
    text = "the header at byte 8; expected '{', found b'[[[["
    yield Damage("100,000 lists deep", pack(b"[" * 100_000 + b"]" * 100_000), FormatError, text)
    text = "the entry of tensor 'a' at byte 14; expected dtype, shape and data_offsets only, found 'a'"
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield Damage("100,000 objects deep", pack(deep), UnsupportedError, text)
    text = "shape of tensor 'a' at byte 36; expected a list of whole numbers below 2^64, found b'[[[["
    yield Damage("a shape 100,000 lists deep", with_shape(b"[" * 100_000 + b"]" * 100_000), FormatError, text)
    text = "the entry of tensor 'a' at byte 14; expected dtype, shape and data_offsets only, found 'deep'"
    deep = b'{"a":{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"," + GOOD_TEXT[6:]
    yield Damage("an unknown field 100,000 lists deep", pack(deep, DATA), UnsupportedError, text)


def damaged_metadata() -> Iterator[Damage]:
    begins, value = "__metadata__ at byte 24; expected '{', found ", "a value in __metadata__ at byte "
    for label, raw, text, reason in (
        ("is null", b"null", begins + "b'null,", TEXT_MAP),
        ("is a list", b"[]", begins + "b'[],", None),
        ("is text", b'"pt"', begins + 'b\'"pt",', None),
        ("holds a number", b'{"k":1}', value + "29; expected a string in double quotes, found b'1}", None),
        ("holds null", b'{"k":null}', value + "29; expected a string in double quotes, found b'null}", None),
        ("holds an object", b'{"k":{}}', value + "29; expected a string in double quotes, found b'{}}", None),
        ("is a tensor", MEMBER[4:], value + "47; expected a string in double quotes, found b'[1],", None),
        (
            "holds a key twice",
            b'{"k":"v","k":"w"}',
            "duplicate name in __metadata__ at byte 33; expected each name once, found 'k' again",
            AMBIGUOUS,
        ),
    ):
        header = b'{"__metadata__":%s,%s}' % (raw, MEMBER)
        yield Damage(f"metadata {label}", pack(header, DATA), FormatError, text, reason)
    metadata = b'"__metadata__":{"k":"v"}'
    text = "duplicate name in the header at byte 87; expected each name once, found '__metadata__' again"
    yield Damage("metadata twice", pack(b"{%s,%s,%s}" % (metadata, MEMBER, metadata), DATA), FormatError, text)
    many = ",".join(f'"{i}":""' for i in range((1 << 16) + 1)).encode()
    text = "__metadata__ at byte 709811; expected at most 65536 keys, found one more"
    yield Damage("65,537 metadata keys", pack(b'{"__metadata__":{%s}}' % many), LimitError, text, LIMIT)


def damaged_entries() -> Iterator[Damage]:
    again = "duplicate name in the header at byte 62; expected each name once, found 'a' again"
    other, disguised = MEMBER.replace(b"[0,4]", b"[4,8]"), MEMBER.replace(b'"a"', rb'"\u0061"')
    yield Damage("duplicate name, equal", pack(b"{%s,%s}" % (MEMBER, MEMBER), DATA), FormatError, again, AMBIGUOUS)
    yield Damage("duplicate name, escaped", pack(b"{%s,%s}" % (MEMBER, disguised), DATA), FormatError, again, AMBIGUOUS)
    yield Damage(
        "duplicate name, last one wins", pack(b"{%s,%s}" % (other, MEMBER), DATA), FormatError, again, AMBIGUOUS
    )
    yield Damage("duplicate name, different bytes", pack(b"{%s,%s}" % (MEMBER, other), DATA * 2), FormatError, again)
    for raw, reason in ((b"null", None), (b"1", None), (b"NaN", None), (b'"F32"', None), (b'["F32",[1],[0,4]]', QUIRK)):
        text = f"the entry of tensor 'a' at byte 13; expected '{{', found {repr(raw)[:-1]}"
        yield Damage(f"entry is {raw.decode()}", pack(b'{"a":%s}' % raw, DATA), FormatError, text, reason)
    for field in ("dtype", "shape", "data_offsets"):
        rest = {key: value for key, value in entry([1], [0, 4]).items() if key != field}
        text = f"the entry of tensor 'a' at byte 13; expected a field {field!r}, found none"
        yield Damage(f"missing field {field}", pack({"a": rest}, DATA), FormatError, text)
        twice = GOOD_TEXT[:-2] + b',"%s":' % field.encode() + json.dumps(entry([1], [0, 4])[field]).encode() + b"}}"
        text = f"duplicate name in the entry of tensor 'a' at byte 61; expected each name once, found {field!r} again"
        yield Damage(f"duplicate field {field}", pack(twice, DATA), FormatError, text)
    text = "the entry of tensor 'a' at byte 13; expected a field 'dtype', found none"
    yield Damage("entry without fields", pack(b'{"a":{}}'), FormatError, text)
    text = "the entry of tensor 'a' at byte 61; expected dtype, shape and data_offsets only, found 'stride'"
    yield Damage("unknown field", pack({"a": entry([1], [0, 4], stride=[1])}, DATA), UnsupportedError, text, UNKNOWN)


def damaged_dtypes() -> Iterator[Damage]:
    for code, reason in (
        ("F33", None),
        ("f32", None),
        ("", None),
        ("C128", None),
        ("float32", None),
        ("F6_E2M4", None),
    ):
        text = f"dtype of tensor 'a' at byte 13; expected one of {' '.join(BY_CODE)}, found {code!r}"
        raw = pack({"a": entry([16], [0, 12], code)}, DATA * 3)
        yield Damage(f"dtype {code or 'empty'}", raw, UnsupportedError, text, reason)
    text = "dtype of tensor 'a' at byte 22; expected a string in double quotes, found "
    yield Damage("dtype null", pack({"a": entry([1], [0, 4], None)}, DATA), FormatError, text + "b'null,")
    raw = pack({"a": entry([1], [0, 4], {"F32": None})}, DATA)
    yield Damage("dtype an object", raw, FormatError, text + 'b\'{"F32":null},', QUIRK)
    text = "shape of tensor 'a' at byte 13; expected whole bytes of F4 in the last dimension, found "
    yield Damage("half a byte of F4", pack({"a": entry([], [0, 1], "F4")}, b"\0"), UnsupportedError, text + "[]")
    for code in ("F6_E2M3", "F6_E3M2"):
        raw = pack({"a": entry([2], [0, 2], code)}, b"\0" * 2)
        yield Damage(f"half of an element of {code}", raw, UnsupportedError, text.replace("F4", code) + "[2]")
    raw = pack({"a": entry([2, 3], [0, 3], "F4")}, b"\0" * 3)
    yield Damage("odd rows of F4", raw, UnsupportedError, text + "[2, 3]", HALF)


def damaged_shapes() -> Iterator[Damage]:
    for raw in (
        *(
            b"[1.0]",
            b"[1e0]",
            b"[-1]",
            b"[-0]",
            b"[+1]",
            b"[01]",
            b"[00]",
            b"[0x1]",
            b"[1_0]",
            b"[1,]",
            b"[,1]",
            b"[1 1]",
        ),
        *(b"[true]", b"[null]", b'["1"]', b"[[1]]", b"[1", b"null", b'"1"', b"{}", b"1", b"[100000000000000000000]"),
    ):
        text = f"shape of tensor 'a' at byte 36; expected a list of whole numbers below 2^64, found {repr(raw)[:-1]}"
        yield Damage(f"shape is {raw.decode()}", with_shape(raw), FormatError, text)
    text = "shape of tensor 'a' at byte 36; expected a list of whole numbers below 2^64, found b'[9999"
    yield Damage("shape of 5,000 digits", with_shape(b"[" + b"9" * 5000 + b"]"), FormatError, text)
    for label, shape, offsets, data, reason in (
        ("2^64", [1 << 64], [0, 4], DATA, None),
        ("2^64-1", [(1 << 64) - 1], [0, 4], DATA, None),
        ("2^63 bytes", [1 << 61], [0, 4], DATA, None),
        ("wraps around to 4 bytes", [(1 << 62) + 1], [0, 4], DATA, None),
        ("wraps around to 0 bytes", [1 << 32, 1 << 32], [0, 0], b"", None),
        ("overflows before a zero", [1 << 32, 1 << 32, 0], [0, 0], b"", None),
        ("overflows after a zero", [0, 1 << 32, 1 << 32], [0, 0], b"", STRIDES),
    ):
        text = f"shape of tensor 'a' at byte 13; expected at most 9223372036854775807 bytes, found {shape}"
        yield Damage(f"shape {label}", pack({"a": entry(shape, offsets)}, data), LimitError, text, reason)
    for label, shape, end, expected in (
        ("more than the bytes", [2], 4, "8 bytes for F32 [2], found 4"),
        ("less than the bytes", [1], 8, "4 bytes for F32 [1], found 8"),
        ("nothing", [0], 4, "0 bytes for F32 [0], found 4"),
    ):
        text = f"data_offsets of tensor 'a' at byte 13; expected {expected}"
        yield Damage(f"shape says {label}", pack({"a": entry(shape, [0, end])}, bytes(end)), FormatError, text)
    for rank in (65, 100_000):
        text = f"shape of tensor 'a' at byte 36; expected at most 64 numbers, found {rank}"
        yield Damage(f"rank {rank}", pack({"a": entry([1] * rank, [0, 4])}, DATA), LimitError, text, LIMIT)


def damaged_offsets() -> Iterator[Damage]:
    for raw in (b"[-4,0]", b"[0.0,4.0]", b"[0,4e0]", b'"0-4"', b'{"0":4}', b"null", b"4", b"[0,[4]]"):
        found = repr(raw)[:-1]
        text = f"data_offsets of tensor 'a' at byte 55; expected a list of whole numbers below 2^64, found {found}"
        yield Damage(f"data_offsets {raw.decode()}", with_shape(b"[1]", raw), FormatError, text)
    for raw, text in (
        (b"[]", "expected two numbers, found 0"),
        (b"[4]", "expected two numbers, found 1"),
        (b"[0,4,8]", "expected two numbers, found 3"),
        (b"[4,0]", "expected begin <= end, found [4, 0]"),
        (b"[18446744073709551615,3]", "expected begin <= end, found [18446744073709551615, 3]"),
        (b"[0,18446744073709551615]", "expected 4 bytes for F32 [1], found 18446744073709551615"),
    ):
        text = f"data_offsets of tensor 'a' at byte 13; {text}"
        yield Damage(f"data_offsets {raw.decode()}", with_shape(b"[1]", raw), FormatError, text)
    text = "tensor 'a' leaves a hole after the header at byte 18446744073709551716; expected offset 100"
    far = with_shape(b"[1]", b"[18446744073709551616,18446744073709551620]")
    yield Damage("data_offsets past 2^64", far, FormatError, text)


def damaged_tilings() -> Iterator[Damage]:
    one, zero = entry([1], [0, 4]), [0]
    for label, second, data, text in (
        (
            "overlap",
            entry([1], [2, 6]),
            6,
            "tensor 'b' overlaps tensor 'a' at byte 117; expected offset 119, found 117",
        ),
        ("one place, two names", one, 4, "tensor 'b' overlaps tensor 'a' at byte 115; expected offset 119, found 115"),
        ("hole", entry([1], [6, 10]), 10, "tensor 'b' leaves a hole after tensor 'a' at byte 122; expected offset 120"),
        (
            "no bytes for the last",
            entry([1], [4, 8]),
            4,
            "the data is cut off at byte 119; expected a file of 123 bytes",
        ),
        ("empty inside", entry(zero, [2, 2]), 4, "tensor 'b' overlaps tensor 'a' at byte 117; expected offset 119"),
        ("empty past the end", entry(zero, [8, 8]), 4, "tensor 'b' leaves a hole after tensor 'a' at byte 123"),
    ):
        yield Damage(f"two tensors: {label}", pack({"a": one, "b": second}, bytes(data)), FormatError, text)
    raw = pack({"a": entry([4], [0, 16]), "b": entry([1], [4, 8])}, bytes(16))
    text = "tensor 'b' overlaps tensor 'a' at byte 120; expected offset 132, found 120"
    yield Damage("one tensor inside another", raw, FormatError, text)
    text = "tensor 'a' leaves a hole after the header at byte 63; expected offset 62, found 63"
    yield Damage("hole before the first tensor", pack({"a": entry([1], [1, 5])}, bytes(5)), FormatError, text)
    text = "tensor 'a' leaves a hole after tensor 'b' at byte 124; expected offset 120, found 124"
    raw = pack({"a": entry([1], [8, 12]), "b": one}, bytes(12))
    yield Damage("hole between tensors out of order", raw, FormatError, text)
    for label, header, data, text in (
        ("trailing byte", GOOD_TEXT, DATA + b"x", "trailing bytes at byte 66; expected a file of 66 bytes, found 67"),
        ("trailing file", GOOD_TEXT, DATA + pack(GOOD, DATA), "trailing bytes at byte 66; expected a file of 66 bytes"),
        ("data without tensors", b"{}", b"x", "trailing bytes at byte 10; expected a file of 10 bytes, found 11"),
        (
            "truncated data",
            GOOD_TEXT,
            DATA[:3],
            "the data is cut off at byte 65; expected a file of 66 bytes, found 65",
        ),
        ("no data", GOOD_TEXT, b"", "the data is cut off at byte 62; expected a file of 66 bytes, found 62"),
    ):
        yield Damage(label, pack(header, data), FormatError, text)
    text = "the data is cut off at byte 95; expected a file of 1125899906842715 bytes, found 95"
    yield Damage("a petabyte declared", pack({"a": entry([1 << 50], [0, 1 << 50], "U8")}, DATA), FormatError, text)


def hostile_names() -> Iterator[Damage]:
    for literal in (
        *(rb"../x", rb"..", rb"a/../../x", rb"a/..", rb"..\\x", rb"a\\..\\x", rb"\u002e\u002e/x", rb"..\/x"),
        *(rb"/abs", rb"/", rb"\\abs", rb"\\\\host\\share", rb"C:\\x", rb"c:/x"),
        *(rb"a\u0000b", rb"\u0000", rb"model.pt\u0000.safetensors"),
    ):
        name = json.loads(b'"' + literal + b'"')
        text = f"a tensor's name at byte 9; expected {SAFE_NAME}, found {name!r}"
        yield Damage(f"name {literal.decode()}", named(literal), UnsafeError, text, PATH)
    for label, literal, characters, nbytes in (
        ("of 4,097 bytes", b"n" * 4097, 4097, 4097),
        ("of 2,049 characters of two bytes", "é".encode() * 2049, 2049, 4098),
        ("of 1 MB", b"n" * 1_000_000, 1_000_000, 1_000_000),
        ("of 1 MB of escapes", rb"\n" * 500_000, 500_000, 500_000),
    ):
        start = json.loads(b'"' + literal[:160] + b'"')[:80]
        text = f"the name {start!r}... ({characters} characters) at byte 9; expected at most 4096 bytes, found {nbytes}"
        yield Damage(f"name {label}", named(literal), LimitError, text, LIMIT)
    for label, literal, text in (
        ("a lone surrogate", rb"\ud800", r"expected whole characters, found the surrogate '\ud800'"),
        (
            "a pair of surrogates backwards",
            rb"\ude00\ud83d",
            r"expected whole characters, found the surrogate '\ude00'",
        ),
        ("an unknown escape", rb"\x41", r"expected an escape of JSON, found '\\x'"),
        ("a cut escape", rb"\u00", "expected an escape of JSON, found 'u0'"),
    ):
        yield Damage(f"name with {label}", named(literal), FormatError, f"a string at byte 10; {text}")


def sound() -> Iterator[Sound]:
    yield Sound("no tensors", pack(b"{}"), ())
    yield Sound("metadata only", pack(b'{"__metadata__":{"format":"pt"}}'), ())
    yield Sound("empty metadata", pack(b'{"__metadata__":{},' + MEMBER + b"}", DATA), ("a",))
    yield Sound("metadata last", pack(b"{" + MEMBER + b',"__metadata__":{"k":"\\u0000"}}', DATA), ("a",))
    yield Sound("trailing spaces", pack(GOOD_TEXT + b" " * 99, DATA), ("a",))
    yield Sound("header of odd length", pack(GOOD_TEXT + b" " * (1 - len(GOOD_TEXT) % 2), DATA), ("a",))
    yield Sound("indented", pack(json.dumps(GOOD, indent="\t").encode(), DATA), ("a",))
    yield Sound("white space of every kind", pack(GOOD_TEXT.replace(b":", b"\r\n\t : "), DATA), ("a",))
    yield Sound("fields in another order", pack({"a": dict(reversed(entry([1], [0, 4]).items()))}, DATA), ("a",))
    yield Sound("escaped field", pack(GOOD_TEXT.replace(b'"dtype"', rb'"\u0064type"'), DATA), ("a",))
    yield Sound("scalar", pack({"a": entry([], [0, 4])}, DATA), ("a",))
    yield Sound("rank 64", pack({"a": entry([1] * 64, [0, 4])}, DATA), ("a",))
    yield Sound("empty tensor", pack({"a": entry([0], [0, 0])}), ("a",))
    yield Sound("empty tensor of a large shape", pack({"a": entry([0, 1 << 40], [0, 0])}), ("a",))
    yield Sound("empty tensors in one place", pack({"z": entry([0], [0, 0]), "y": entry([2, 0], [0, 0])}), ("z", "y"))
    between = {"z": entry([0], [4, 4]), "b": entry([1], [4, 8]), **GOOD}
    yield Sound("empty tensor between two, out of order", pack(between, DATA * 2), ("a", "z", "b"))
    yield Sound("empty tensor at the end", pack({**GOOD, "z": entry([0], [4, 4])}, DATA), ("a", "z"))
    twins = {"w": entry([1], [0, 4]), "W": entry([1], [4, 8])}
    yield Sound("names that differ in case", pack(twins, DATA * 2), ("w", "W"))
    forms = {"\u00e9": entry([1], [0, 4]), "e\u0301": entry([1], [4, 8])}
    yield Sound("names that differ in normalisation", pack(forms, DATA * 2), ("\u00e9", "e\u0301"))
    yield Sound("surrogate pair", named(rb"\ud83d\ude00"), ("\U0001f600",))
    for label, name in (
        ("the empty name", ""),
        ("an escape sequence for a name", "\x1b[31m"),
        ("a right-to-left override in a name", "a\u202eb"),
        ("a name with dots", "..a/b../...c"),
        ("a name with separators", "model/h.0.w"),
        ("a name of 4,096 bytes", "n" * 4096),
        ("a name beside the metadata key", "__metadata__ "),
    ):
        yield Sound(label, pack({name: entry([1], [0, 4])}, DATA), (name,))
