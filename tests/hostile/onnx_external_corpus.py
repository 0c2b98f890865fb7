"""Models that lie about their data in other files, each with its exact error, and odd ones that are sound."""

from __future__ import annotations

from collections.abc import Iterator

from damage import FolderDamage, FolderSound
from onnx_corpus import dims, model, tensor
from protobuf_bytes import block, number

from deltackpt.errors import FormatError, LimitError, UnsafeError
from deltackpt.formats.names import SAFE_NAME

PETABYTE = 1 << 50


def external(name: str = "a", shape: bytes = dims(2), kind: int = 1, **entries: str) -> bytes:
    """An initializer of eight bytes, whose data is where ``entries`` say."""
    written = b"".join(block(13, block(1, key) + block(2, value)) for key, value in entries.items())
    return block(5, tensor(number(14, 1), written, name=name, shape=shape, kind=kind))


def folder(*initializers: bytes, data: bytes = bytes(16)) -> dict[str, bytes]:
    return {"m.onnx": model(b"".join(initializers)), "w": data}


def damaged() -> Iterator[FolderDamage]:
    for location in ("../w", "a/../../w", "..", "/etc/passwd", "C:\\w", "w\0", "a\\w", "\\w", "\\\\host\\w", "a/.."):
        text = (
            f"m.onnx: the location of tensor 'a' at byte 10; expected {SAFE_NAME}, nor a backslash, found {location!r}"
        )
        yield FolderDamage(f"location {location!r}", folder(external(location=location)), "m.onnx", UnsafeError, text)
    text = "m.onnx: the location of tensor 'a' at byte 10; expected the path of a file, found none"
    yield FolderDamage("no location", folder(external(offset="0")), "m.onnx", FormatError, text)
    yield FolderDamage("an empty location", folder(external(location="")), "m.onnx", FormatError, text)
    for key in ("offset", "length"):
        for value in ("-1", "0x8", "8.0", "", " 8", "1_0", "٣", "nan", "9" * 20, "9" * 4000):
            start = f"m.onnx: the {key} of tensor 'a' at byte 1"
            files = folder(external(location="w", **{key: value}))
            yield FolderDamage(f"{key} {value[:30]!a} of {len(value)}", files, "m.onnx", FormatError, start)
    for value in ("0", "7", "9", str(PETABYTE), str((1 << 63) - 1)):
        text = f"m.onnx: the length of tensor 'a' at byte 10; expected 8 bytes for its dims, found {value}"
        files = folder(external(location="w", length=value))
        yield FolderDamage(f"length {value} for 8 bytes", files, "m.onnx", FormatError, text)
    text = "w: the data is cut off at byte 16; expected a file of 17 bytes, found 16"
    yield FolderDamage("a byte past the end", folder(external(location="w", offset="9")), "m.onnx", FormatError, text)
    files = folder(external(location="w", offset=str(PETABYTE)))
    text = f"w: tensor 'a' leaves a hole after the start of the file at byte {PETABYTE}; expected offset 0"
    yield FolderDamage("an offset of a petabyte", files, "m.onnx", FormatError, text)
    files = folder(external(location="w", shape=dims(PETABYTE)))
    text = f"w: the data is cut off at byte 16; expected a file of {4 * PETABYTE} bytes, found 16"
    yield FolderDamage("petabytes of data", files, "m.onnx", FormatError, text)
    files = folder(external(location="w", shape=dims(1 << 62)))
    text = "m.onnx: the dims of tensor 'a' at byte 10; expected at most 9223372036854775807 bytes"
    yield FolderDamage("dims that overflow", files, "m.onnx", LimitError, text)
    files = folder(external(location="w"), external("b", location="w", offset="4"))
    text = "w: tensor 'b' overlaps tensor 'a' at byte 4; expected offset 8, found 4"
    yield FolderDamage("two tensors that overlap", files, "m.onnx", FormatError, text)
    text = "m.onnx: the model at byte 6; expected field 7 within its 17 bytes, found "
    files = {"m.onnx": model(external(location="w"))[:23], "w": bytes(16)}
    yield FolderDamage("a model that is cut off", files, "m.onnx", FormatError, text)


def sound() -> Iterator[FolderSound]:
    def case(label: str, *initializers: bytes, names: tuple[str, ...] = ("a",)) -> FolderSound:
        return FolderSound(label, folder(*initializers), {"w": names} if names else {})

    yield case("a location alone", external(location="w"))
    yield case("everything given", external(location="w", offset="8", length="8", checksum="00"))
    yield case("unknown keys", external(location="w", basepath="/etc", colour="blue"))
    yield case("a location with a dot", external(location="./w"))
    yield case("a location with a needless step", external(location="././/w"))
    yield case("an offset with leading zeros", external(location="w", offset="0008"))
    yield case("an unknown element type", external(location="w", kind=99), names=())
    yield case("a file that is not there", external(location="v"), names=())
    yield case("the model itself", external(location="m.onnx"), names=())
    yield case("no elements", external(location="w", shape=dims(0)))
    yield case("two names for the same bytes", external(location="w"), external("b", location="w"))
    yield case("one name twice", external(location="w"), external(location="w", offset="8"), names=("a", "a#2"))
    yield case("a name with an escape sequence", external("\x1b[31m", location="w"), names=("\x1b[31m",))
    second = {"n.onnx": model(external("b", location="w", offset="8"))}
    yield FolderSound("two models", folder(external(location="w")) | second, {"w": ("a", "b")})
    second = {"n.onnx": model(external(location="w", offset="8"))}
    yield FolderSound("two models and one name", folder(external(location="w")) | second, {"w": ("a", "a#2")})
    yield FolderSound("a name that is no model's", {"m.onnx": b"", "w": b"x"}, {})
