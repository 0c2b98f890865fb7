"""What a file is, told by its content; a kind without a reader is named, not guessed at."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.safetensors import layout
from deltackpt.formats.sniff import FORMATS, Format, read_spans, sniff
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Literal, Span
from deltackpt.tensor.dtype import DTYPES

EVERY = " or ".join(known.name for known in FORMATS)


def kind(path: Path) -> Format | None:
    with open_source(str(path)) as file:
        return sniff(file)


def spans(path: Path) -> tuple[Span, ...]:
    with open_source(str(path)) as file:
        return read_spans(file)


def saved_by_torch(**options: bool) -> bytes:
    torch.save({"w": torch.arange(3)}, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def saved_by_numpy() -> bytes:
    np.save(buffer := io.BytesIO(), np.arange(3))
    return buffer.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


def test_safetensors_are_recognised_whatever_their_name(tmp_path: Path) -> None:
    header, (span,) = layout([("w", DTYPES["int8"], (3,))])
    (path := tmp_path / "model.bin").write_bytes(header + b"abc")
    found = kind(path)
    assert found is not None
    assert found.name == "safetensors"
    assert spans(path) == (Literal(0, len(header)), span)


@pytest.mark.parametrize("prefix", [b"", b" ", b"\n\t", b"\xef\xbb\xbf"])
def test_a_damaged_safetensors_file_still_counts_as_one(tmp_path: Path, prefix: bytes) -> None:
    (path := tmp_path / "f").write_bytes((1 << 60).to_bytes(8, "little") + prefix + b'{"w":')
    assert kind(path) is not None
    with pytest.raises(LimitError, match="the header's length at byte 0; expected at most 100000000"):
        spans(path)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (saved_by_torch(), "a zip archive (a PyTorch .pt or an .npz)"),
        (saved_by_torch(_use_new_zipfile_serialization=False), "a pickle"),
        *[(pickle.dumps({"w": 1}, protocol), "a pickle") for protocol in (2, 3, 4, 5)],
        (saved_by_numpy(), "a NumPy .npy array"),
        (tarred(), "a tar archive"),
        (gzip.compress(b"x", mtime=0), "a gzip stream"),
        (zstandard.compress(b"x"), "a zstd stream"),
        (b"\x89HDF\r\n\x1a\n" + bytes(8), "an HDF5 file"),
        (b'{"weight_map": {}}', "JSON text (perhaps the index of a sharded model)"),
    ],
)
def test_a_known_kind_without_a_reader_is_named(tmp_path: Path, raw: bytes, what: str) -> None:
    (path := tmp_path / "model.safetensors").write_bytes(raw)
    assert kind(path) is None
    with pytest.raises(UnsupportedError) as caught:
        spans(path)
    assert str(caught.value) == f"{path}: this is {what}, which is not supported yet; save it as {EVERY}"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "an empty file"),
        (bytes(7), repr(bytes(7))),
        (bytes(4096), repr(bytes(24))),
        (b"hello, this is some text", "b'hello, this is some text'"),
        (b"\x1b]0;title\x07", r"b'\x1b]0;title\x07'"),
    ],
)
def test_an_unknown_file_is_refused_with_its_first_bytes(tmp_path: Path, raw: bytes, found: str) -> None:
    (path := tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(FormatError) as caught:
        spans(path)
    assert str(caught.value) == f"{path}: unknown kind of file at byte 0; expected {EVERY}, found {found}"
