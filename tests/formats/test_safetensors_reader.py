"""Reading: the spans of a file are what the official library finds in it, and give the file back byte for byte."""

from __future__ import annotations

import json
import random
import struct
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.torch import save, save_file

from deltackpt.errors import FormatError
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.names import is_unsafe
from deltackpt.formats.safetensors.header import METADATA, parse_header
from deltackpt.formats.safetensors.reader import read_header, read_spans, recognises
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.spans import Literal, Span, TensorSpan
from deltackpt.tensor.dtype import DTYPES

CODES = {"F64": 8, "F32": 4, "BF16": 2, "F8_E4M3": 1, "BOOL": 1, "C64": 8, "U16": 2, "I64": 8}
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda n: not is_unsafe(n) and n != METADATA
)
shapes = st.lists(st.integers(0, 4), max_size=4)


def spans_of(raw: bytes) -> tuple[Span, ...]:
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        return read_spans(SourceFile.of(file.fileno(), "f"))


def test_a_file_is_rebuilt_from_its_spans(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file(
        {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.bfloat16)}, path, {"x": "1", "y": "2"}
    )
    with open_source(str(path)) as file:
        header, *tensors = read_spans(file)
        pieces = [
            file.read(0, header.length),
            *(bytes(FileTensor(file, span).read(0, span.length)) for span in tensors),
        ]
    assert b"".join(pieces) == path.read_bytes()
    assert [(span.name, span.dtype.name, span.shape, span.length) for span in tensors] == [
        ("b", "float32", (2, 3), 24),
        ("a", "bfloat16", (2,), 4),
    ]


def test_the_golden_file() -> None:
    header = b'{"w":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}  '
    raw = b"\x38\0\0\0\0\0\0\0" + header + b"\1\0\2\0"
    assert spans_of(raw) == (Literal(0, 64), TensorSpan("w", DTYPES["int16"], (2,), 64, 4))


def test_metadata_is_read_and_its_absence_is_told_from_emptiness(tmp_path: Path) -> None:
    for metadata in (None, {}, {"format": "pt", "é": "\n\0"}):
        (path := tmp_path / "m").write_bytes(save({"w": torch.zeros(1)}, metadata))
        with open_source(str(path)) as file:
            assert read_header(file).metadata == metadata


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.safetensors], ids=str)
def test_every_element_type_comes_as_the_framework_had_it(dtype: object, tmp_path: Path) -> None:
    kind = getattr(torch, str(dtype))
    tensor = torch.zeros(3, 4 * kind.itemsize, dtype=torch.uint8).view(kind)
    (_, span) = spans_of(save({"w": tensor}))
    assert isinstance(span, TensorSpan)
    assert (span.dtype, span.shape, span.length) == (dtype, tuple(tensor.shape), 12 * kind.itemsize)


def test_the_header_begins_with_a_brace_after_eight_bytes() -> None:
    assert recognises(save({}))
    assert not recognises(b"")
    assert not recognises(b"{" * 8)
    assert not recognises(bytes(8) + b"[")


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, dict[str, tuple[str, tuple[int, ...], int]]]:
    """A file as any writer could make it (order, white space, escapes, padding drawn), and what it holds."""
    described = draw(st.dictionaries(names, st.tuples(st.sampled_from(sorted(CODES)), shapes), max_size=6))
    entries, expected, end = {}, {}, 0
    for name, (code, shape) in described.items():
        length = CODES[code] * torch.Size(shape).numel()
        expected[name] = (code, tuple(shape), end)
        entries[name] = {"dtype": code, "shape": shape, "data_offsets": [end, end + length]}
        end += length
    rng = random.Random(draw(st.integers(0, 1 << 20)))
    members = [(name, dict(rng.sample(sorted(entry.items()), 3))) for name, entry in entries.items()]
    if draw(st.booleans()):
        members.append((METADATA, draw(st.dictionaries(st.text('ab\n"\\é'), st.text("cd\0\u2028"), max_size=2))))
    rng.shuffle(members)
    text = json.dumps(dict(members), indent=draw(st.sampled_from([None, 0, 3])), ensure_ascii=draw(st.booleans()))
    raw = text.encode() + b" " * draw(st.integers(0, 9))
    return struct.pack("<Q", len(raw)) + raw + rng.randbytes(end), expected


@settings(max_examples=150, deadline=None)
@given(headers())
def test_any_valid_header_reads_as_the_official_library_reads_it(
    made: tuple[bytes, dict[str, tuple[str, tuple[int, ...], int]]],
) -> None:
    raw, expected = made
    header, *tensors = spans_of(raw)
    assert {s.name: (s.dtype.safetensors, s.shape, s.offset - header.length) for s in tensors} == expected
    official = dict(deserialize(raw))
    assert {s.name: raw[s.offset : s.offset + s.length] for s in tensors} == {n: v["data"] for n, v in official.items()}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.text('{}[]",:0123456789 \\"dtypeshapedata_offsetsF32', max_size=80).map(str.encode))
def test_no_text_makes_the_parser_fail_otherwise_than_typed(text: bytes) -> None:
    try:
        parse_header(text, 8, "f")
    except FormatError as error:
        assert str(error).startswith("f: ")  # noqa: PT017 - a header that is good is good too
