"""Pickles put together opcode by opcode, as no pickler would write them. Nothing here can be unpickled safely."""

from __future__ import annotations

STOP = b"."


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(raw) < 256:
        return b"\x8a" + bytes([len(raw)]) + raw
    return b"\x8b" + len(raw).to_bytes(4, "little") + raw


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def numbers(*values: int) -> bytes:
    return tuple_of(*map(number, values))


def dict_of(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(target: bytes, *args: bytes) -> bytes:
    """REDUCE."""
    return target + tuple_of(*args) + b"R"


def put(index: int) -> bytes:
    """LONG_BINPUT."""
    return b"r" + index.to_bytes(4, "little")


def get(index: int) -> bytes:
    return b"j" + index.to_bytes(4, "little")


def storage(
    key: str = "0", count: int = 4, kind: str = "FloatStorage", device: str = "cpu", module: str = "torch"
) -> bytes:
    """BINPERSID of a storage."""
    return tuple_of(text("storage"), name(module, kind), text(key), text(device), number(count)) + b"Q"


def tensor(
    shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,), offset: int = 0, of: bytes | None = None
) -> bytes:
    """``_rebuild_tensor_v2`` of a storage."""
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage() if of is None else of,
        number(offset),
        numbers(*shape),
        numbers(*strides),
        b"\x89",
        call(name("collections", "OrderedDict")),
    )
