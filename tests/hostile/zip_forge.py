"""Zip archives written field by field, so that each can lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Record:
    """One entry. ``central`` and ``local`` override fields of its two headers; ``at`` moves its local header."""

    name: str
    data: bytes
    central: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    local_name: str | None = None
    extra: bytes = b""
    at: int | None = None


def archive(*records: Record, **end: int) -> bytes:
    """An archive of ``records``; ``end`` overrides fields of the end record, or adds a zip64 one."""
    body, directory = b"", b""
    for record in records:
        facts = {"flags": 0, "method": 0, "crc": zlib.crc32(record.data), "size": len(record.data)}
        facts["packed"] = facts["size"]
        offset = len(body) if record.at is None else record.at
        body += _local(record, facts | record.local) + record.data
        directory += _central(record, facts | {"offset": offset, "disk": 0} | record.central)
    facts = {"count": len(records), "here": len(records), "length": len(directory), "offset": len(body), "disk": 0}
    wide = {key.removeprefix("wide_"): value for key, value in end.items() if key.startswith("wide_")}
    narrow = facts | {key: value for key, value in end.items() if not key.startswith("wide_")}
    raw = body + directory
    if wide:
        raw += _wide_end(facts | wide, len(raw))
    return raw + _end(narrow)


def _local(record: Record, facts: dict[str, Any]) -> bytes:
    raw_name = (record.name if record.local_name is None else record.local_name).encode()
    return (
        struct.pack(
            "<4s5H3I2H",
            facts.get("magic", b"PK\3\4"),
            *(20, facts["flags"], facts["method"], 0, 0),
            *(facts["crc"], facts["packed"], facts["size"]),
            *(len(raw_name), facts.get("extra_length", 0)),
        )
        + raw_name
    )


def _central(record: Record, facts: dict[str, Any]) -> bytes:
    raw_name = record.name.encode()
    return (
        struct.pack(
            "<4s6H3I5H2I",
            facts.get("magic", b"PK\1\2"),
            *(20, 20, facts["flags"] | 0x800, facts["method"], 0, 0),
            *(facts["crc"], facts["packed"], facts["size"]),
            *(facts.get("name_length", len(raw_name)), len(record.extra), 0, facts["disk"], 0),
            *(0, facts["offset"]),
        )
        + raw_name
        + record.extra
    )


def _end(facts: dict[str, int]) -> bytes:
    counts = (facts["disk"], 0, facts["here"], facts["count"])
    return struct.pack("<4s4H2IH", b"PK\5\6", *counts, facts["length"], facts["offset"], facts.get("comment", 0))


def _wide_end(facts: dict[str, int], at: int) -> bytes:
    record = struct.pack(
        "<4sQ2H2I4Q",
        b"PK\6\6",
        facts.get("size", 44),
        *(45, 45, facts["disk"], 0),
        *(facts["here"], facts["count"], facts["length"], facts["offset"]),
    )
    return record + struct.pack("<4sIQI", b"PK\6\7", 0, at, facts.get("disks", 1))


def wide_extra(*values: int) -> bytes:
    """The zip64 extra field."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)
