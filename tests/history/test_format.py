"""The objects of docs/format/manifest.md, made and read back."""

from __future__ import annotations

import pytest
from documents import ROOT, blocks

from deltackpt.history.objects import (
    CommitObject,
    FileSkeleton,
    Form,
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
BIAS = TensorLayout("model/b", "bfloat16", (1,), 0, 0)

OBJECTS = {
    "layout": GroupLayout((WEIGHT, BIAS)),
    "group": Group(A, A, (b"\x80\x3f",), ((1, 2),)),
    "part": Part(Form.STATE, B, (A,)),
    "file": FileSkeleton("m.safetensors", "safetensors", (b"\x08", 0)),
    "commit": CommitObject(
        parents=(A,),
        branch="main",
        step=1000,
        time_ns=1_700_000_000_000_000_000,
        metrics={"loss": 2.5},
        message="hi",
        parts=(PartEntry("model", B, 2, 18),),
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
