"""The objects of docs/format/manifest.md, made and read back."""

from __future__ import annotations

import msgspec
import pytest
from documents import ROOT, blocks

from deltackpt.history.objects import (
    CommitObject,
    EntryKind,
    FileEntry,
    FilesSkeleton,
    Group,
    GroupLayout,
    ObjectCorruptError,
    Part,
    PartEntry,
    TensorLayout,
    decode,
    encode,
)
from deltackpt.ids import ChunkId

PAGE = ROOT / "docs" / "format" / "manifest.md"
A = bytes(ChunkId.of(b"weights weights "))
B = bytes(ChunkId.of(b"bias"))
WEIGHT = TensorLayout("model/w", "float32", (2, 2), 16, 16)
NOTES = TensorLayout("(bytes 0)", "bytes", (100_000,), 0, 1)
BIAS = TensorLayout("model/b", "bfloat16", (1,), 0, 0)

OBJECTS = {
    "layout": GroupLayout((WEIGHT, BIAS, NOTES)),
    "group": Group(A, A + B, (b"\x80\x3f",), ((1, 2),), ((100_000,),)),
    "part": Part(B, A, (A,)),
    "files": FilesSkeleton(
        b"ckpt",
        (
            FileEntry(b"", EntryKind.FOLDER, 0o755, 7),
            FileEntry(b"m.pt", EntryKind.FILE, 0o644, 7, (b"\x08", 0, ("model", 1)), "pytorch", (), "m.pt"),
            FileEntry(b"last", EntryKind.LINK, 0, 7, (b"m.pt",)),
        ),
    ),
    "commit": CommitObject(
        parents=(A,),
        branch="main",
        step=1000,
        time_ns=1_700_000_000_000_000_000,
        metrics={"loss": 2.5},
        message="hi",
        parts=(PartEntry("model", B, 2, 100_018, 100_000),),
        nonfinite=(),
        healthy=True,
        environment=B,
    ),
}


def golden(name: str) -> bytes:
    (text,) = [b.text for b in blocks(PAGE) if b.language == "golden" and b.text.startswith(f"{name}\n")]
    return bytes.fromhex(text.removeprefix(f"{name}\n"))


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object(name: str) -> None:
    made = OBJECTS[name]
    assert encode(made) == golden(name)
    assert decode(golden(name), type(made)) == made


@pytest.mark.parametrize("name", OBJECTS)
def test_every_truncation_and_every_bit(name: str) -> None:
    """An object is hashed before it is read; but even unhashed it is an error or an object, never a crash."""
    data = golden(name)
    kind = type(OBJECTS[name])
    damaged = [data[:length] for length in range(len(data))]
    damaged += [bytes(b ^ (bit == i) << k for i, b in enumerate(data)) for bit in range(len(data)) for k in range(8)]
    for bad in damaged:
        try:
            assert isinstance(decode(bad, kind), kind)
        except ObjectCorruptError:
            continue


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("group", "layout"),
        ("group", "chunks"),
        ("part", "skeleton"),
        ("part", "files"),
        ("part", "groups"),
        ("commit", "parents"),
        ("commit", "parts"),
        ("commit", "environment"),
        ("commit", "config"),
        ("commit", "meta"),
    ],
)
def test_an_id_of_another_length(name: str, field: str) -> None:
    """It is refused with the object, so that whoever walks a manifest, gc and verify too, meets whole ids alone."""
    told = list(msgspec.msgpack.decode(golden(name)))
    kind = type(OBJECTS[name])
    at = 1 + kind.__struct_fields__.index(field)
    for bad in (A[:-1], A + b"\0"):
        told[at] = [["model", bad, 2, 3, 4]] if field == "parts" else [bad] if isinstance(told[at], list) else bad
        with pytest.raises(ObjectCorruptError, match=f"no {kind.__name__}"):
            decode(msgspec.msgpack.encode(told), kind)
