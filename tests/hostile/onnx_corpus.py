"""Damaged and hostile ONNX models, each with the error that it must get, and odd ones that are sound."""

from __future__ import annotations

from collections.abc import Iterator

from damage import Damage, Sound
from protobuf_bytes import block, number, varint

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME

FLOAT, INT64 = 1, 7
HEAD = number(1, 8) + block(2, "me")
DATA = b"\0\0\x80\x3f"


def model(graph: bytes, length: int | None = None) -> bytes:
    """A file; its graph begins at byte 8 while it is shorter than 128 bytes."""
    return HEAD + block(7, graph, length)


def dims(*extents: int) -> bytes:
    return block(1, b"".join(map(varint, extents)))


def tensor(*fields: bytes, name: str | bytes = "a", kind: int = FLOAT, shape: bytes = dims(1)) -> bytes:
    return shape + number(2, kind) + block(8, name) + b"".join(fields)


def initializer(*fields: bytes, **more: object) -> bytes:
    return block(5, tensor(*fields, **more))  # type: ignore[arg-type]


def raw(data: bytes = DATA) -> bytes:
    return block(9, data)


def nested(depth: int, graph: bytes = b"") -> bytes:
    """``depth`` graphs within attributes of nodes; each is three messages deep."""
    for _ in range(depth):
        graph = block(1, block(5, block(6, graph)))
    return graph


GOOD = model(initializer(raw()))


def damaged() -> Iterator[Damage]:
    yield from damaged_wires()
    yield from damaged_nesting()
    yield from damaged_tensors()
    yield from damaged_dims()
    yield from damaged_data()
    yield from hostile_names()


def damaged_wires() -> Iterator[Damage]:
    text = "the model at byte 6; expected field 7 within its 19 bytes, found 1003 bytes"
    yield Damage("a graph longer than the file", model(initializer(raw()), 1000)[:25], FormatError, text)
    text = "the model at byte 6; expected field 7 within its 27 bytes, found 9223372036854775819 bytes"
    yield Damage("a graph of 2^63 bytes", model(initializer(raw())[:16], 1 << 63), FormatError, text)
    text = "a graph at byte 8; expected a number, found its bytes without an end"
    yield Damage("a tag of eleven bytes", model(b"\x80" * 11 + b"\1"), FormatError, text)
    yield Damage("a tag that is cut off", model(b"\x80"), FormatError, text)
    text = "a graph at byte 8; expected a field number, found 0"
    yield Damage("field 0", model(b"\0\0"), FormatError, text)
    for wire, error in ((3, UnsupportedError), (4, UnsupportedError), (6, FormatError), (7, FormatError)):
        text = f"a graph at byte 8; expected wire type 0, 1, 2 or 5, found {wire}"
        yield Damage(f"wire type {wire}", model(varint(90 << 3 | wire)), error, text)
    text = "a graph at byte 8; expected field 90 within its 5 bytes, found 6 bytes"
    yield Damage("a fixed number that is cut off", model(varint(90 << 3 | 5) + b"123"), FormatError, text)
    text = "the model at byte 8; expected a graph in field 7, found wire type 0"
    yield Damage("a number for a second graph", model(b"") + number(7, 1), FormatError, text)
    text = "a graph at byte 2097157; expected at most 1048576 fields in the file, found one more"
    yield Damage("a million fields", model(number(2, 1) * (1 << 20)), LimitError, text)


def damaged_nesting() -> Iterator[Damage]:
    for depth, byte in ((34, 247), (333, 309), (10_000, 410)):
        text = f"a node at byte {byte}; expected messages at most 100 deep, found one more within"
        yield Damage(f"graphs {3 * depth} messages deep", model(nested(depth)), LimitError, text)


def damaged_tensors() -> Iterator[Damage]:
    text = "a graph at byte 8; expected a tensor in field 5, found wire type 0"
    yield Damage("a number for a tensor", model(number(5, 1)), FormatError, text)
    text = r"a tensor's name at byte 18; expected UTF-8, found b'\xff'"
    yield Damage("a name that is not UTF-8", model(initializer(raw(), name=b"a\xff")), FormatError, text)
    text = "a tensor's name at byte 17; expected at most 1024 bytes, found 1025"
    yield Damage("a long name", model(initializer(raw(), name="n" * 1025)), LimitError, text)
    text = "a tensor's name at byte 1046; expected at most 1024 bytes, found 1026"
    attribute = block(5, block(1, "a" * 500) + block(5, tensor(raw())))
    long = model(block(1, block(2, "n" * 525) + attribute))
    yield Damage("a long path", long, LimitError, text)
    text = "a tensor's name at byte 10; expected bytes, found wire type 0"
    yield Damage("a number for a name", model(block(5, number(8, 1))), FormatError, text)
    text = "a graph at byte 262154; expected at most 131072 tensors in the file, found one more"
    yield Damage("more than 131,072 tensors", model(block(5, b"") * ((1 << 17) + 1)), LimitError, text)


def damaged_dims() -> Iterator[Damage]:
    def shaped(*extents: int, kind: int = FLOAT) -> bytes:
        return model(initializer(raw(), shape=dims(*extents), kind=kind))

    for extents in ((-1,), (2, -1), (-(1 << 63),)):
        text = f"the dims of tensor 'a' at byte 10; expected none below 0, found {list(extents)}"
        yield Damage(f"dims {list(extents)}", shaped(*extents), FormatError, text)
    for extents in ((1 << 62,), (1 << 32, 1 << 32), (0, 1 << 62), ((1 << 62) + 1,)):
        text = f"the dims of tensor 'a' at byte 10; expected at most 9223372036854775807 bytes, found {list(extents)}"
        yield Damage(f"dims {list(extents)}", shaped(*extents), LimitError, text)
    text = "the dims of tensor 'a' at byte 10; expected at most 64, found 65"
    yield Damage("65 dims", shaped(*[1] * 65), LimitError, text)
    text = "the dims of tensor 'a' at byte 12; expected at most 64, found 65"
    yield Damage("65 dims, each a field", model(initializer(raw(), shape=number(1, 1) * 65)), LimitError, text)
    text = "a tensor's dims at byte 14; expected at most 640 bytes, found 1000000"
    yield Damage("a million dims", model(block(5, block(1, bytes(1_000_000)))), LimitError, text)
    text = "a tensor's dims at byte 12; expected a number, found its bytes without an end"
    yield Damage("dims that are cut off", model(initializer(raw(), shape=block(1, b"\x80"))), FormatError, text)


def damaged_data() -> Iterator[Damage]:
    for label, data in (("nothing", b""), ("less", DATA[:3]), ("more", DATA * 2)):
        text = f"the data of tensor 'a' at byte 18; expected 4 bytes for float32 [1], found {len(data)}"
        yield Damage(f"raw_data of {label}", model(initializer(raw(data))), FormatError, text)
        text = f"the data of tensor 'a' at byte 18; expected 4 bytes for float32 [1], found {len(data)}"
        yield Damage(f"float_data of {label}", model(initializer(block(4, data))), FormatError, text)
    text = "a tensor at byte 18; expected field 9 within its 7 bytes, found 1003 bytes"
    yield Damage("raw_data that lies", model(initializer(block(9, DATA, 1000))), FormatError, text)
    text = "a tensor at byte 18; expected field 4 within its 6 bytes, found 7 bytes"
    yield Damage("float_data that lies", model(initializer(block(4, DATA, 5))), FormatError, text)
    text = "the data of tensor 'a' at byte 10; expected one field, found float_data and raw_data"
    yield Damage("raw_data and float_data", model(initializer(raw(), block(4, DATA))), FormatError, text)
    text = "the data of tensor 'a' at byte 10; expected one field, found int64_data and raw_data"
    yield Damage("raw_data and int64_data", model(initializer(raw(), number(7, 1))), FormatError, text)
    text = "the data of tensor 'a' at byte 10; expected one field, found external_data and raw_data"
    yield Damage("raw_data and external data", model(initializer(raw(), number(14, 1))), FormatError, text)
    text = "the data of tensor 'a' at byte 24; expected raw_data once, found it again"
    yield Damage("raw_data twice", model(initializer(raw(), raw())), FormatError, text)
    text = "external_data at byte 23; expected each key once, found 'k' again"
    yield Damage("a key of external data twice", model(initializer(block(13, block(1, "k")) * 2)), FormatError, text)
    text = "external_data at byte 458; expected at most 64 keys, found one more"
    many = b"".join(block(13, block(1, f"k{i}")) for i in range(65))
    yield Damage("65 keys of external data", model(initializer(many)), LimitError, text)
    text = "an entry of external_data at byte 18; expected a message, found wire type 0"
    yield Damage("a number for external data", model(initializer(number(13, 1))), FormatError, text)


def hostile_names() -> Iterator[Damage]:
    for name in ("../x", "a/../b", "a\0b", "C:\\x"):
        text = f"a tensor's name at byte 8; expected {SAFE_NAME}, found {name!r}"
        yield Damage(f"name {name!r}", model(initializer(raw(), name=name)), UnsafeError, text)


def sound() -> Iterator[Sound]:
    yield Sound("an empty graph", model(b""), ())
    yield Sound("a good model", GOOD, ("a",))
    yield Sound("two graphs", GOOD + block(7, initializer(raw(), name="b")), ("a", "b"))
    yield Sound("an unknown field", model(block(90, b"x" * 200) + initializer(raw())), ("a",))
    yield Sound("a length in four bytes for one", model(b"\x2a\x8e\x80\x80\0" + tensor(raw())), ("a",))
    yield Sound("a name twice", model(initializer(raw()) * 2), ("a", "a#2"))
    yield Sound(
        "a name three times, and its number taken",
        model(initializer(raw(), name="a#2") + initializer(raw()) * 3),
        ("a#2", "a", "a#3", "a#4"),
    )
    yield Sound("no name", model(initializer(raw(), name="")), ("",))
    yield Sound("a slash for a name", model(initializer(raw(), name="/")), ("",))
    yield Sound("a name with an escape sequence", model(initializer(raw(), name="\x1b[31m")), ("\x1b[31m",))
    yield Sound("dims that are not packed", model(initializer(raw(), shape=number(1, 1))), ("a",))
    yield Sound("no dims", model(initializer(raw(), shape=b"")), ("a",))
    yield Sound("no elements", model(initializer(raw(b""), shape=dims(0, 5))), ("a",))
    yield Sound("an unknown element type", model(initializer(raw(b"xyz"), kind=99)), ("a",))
    yield Sound("a segment", model(initializer(raw(b"x"), number(3, 0))), ())
    yield Sound("varints", model(initializer(block(7, b"\1"), kind=INT64)), ())
    yield Sound("floats that are not packed", model(initializer(varint(4 << 3 | 5) + DATA)), ())
    yield Sound("floats in two pieces", model(initializer(block(4, DATA) * 2, shape=dims(2))), ())
    yield Sound("float_data for whole numbers", model(initializer(block(4, DATA), kind=INT64)), ())
    yield Sound("no data at all", model(initializer()), ())
    yield Sound(
        "data elsewhere", model(initializer(number(14, 1) + block(13, block(1, "location") + block(2, "x")))), ()
    )
    yield Sound("graphs 99 messages deep", model(nested(33, initializer(raw()))), ("a",))
