"""Messages of Protocol Buffers, written by hand so that they can lie."""

from __future__ import annotations


def varint(value: int) -> bytes:
    out, value = bytearray(), value & 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str, length: int | None = None) -> bytes:
    """Bytes, text or a message; ``length`` is a lie about how long it is."""
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(raw) if length is None else length) + raw
