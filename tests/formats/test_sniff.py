"""What a file is, told by its content; a kind without a reader is named, not guessed at."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.safetensors import layout
from deltackpt.formats.sniff import KINDS, Format, is_text, read, read_spans, sniff
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Literal, Span
from deltackpt.tensor.dtype import DTYPES


def kind(path: Path) -> Format | None:
    with open_source(str(path)) as file:
        return sniff(file)


def spans(path: Path) -> tuple[Span, ...]:
    with open_source(str(path)) as file:
        return read_spans(file)


def saved_by_torch(**options: int) -> bytes:
    torch.save({"w": torch.arange(3)}, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def saved_by_numpy() -> bytes:
    np.save(buffer := io.BytesIO(), np.arange(3))
    return buffer.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("raw", "name", "format"),
    [
        (saved_by_torch(), "zip", "pytorch"),
        (saved_by_torch(_use_new_zipfile_serialization=False), "pytorch legacy", "pytorch legacy"),
        (saved_by_torch(_use_new_zipfile_serialization=False, pickle_protocol=1), "pytorch legacy", "pytorch legacy"),
        (saved_by_torch(_use_new_zipfile_serialization=False, pickle_protocol=4), "pytorch legacy", "pytorch legacy"),
        (saved_by_numpy(), "npy", "npy"),
        (layout([])[0], "safetensors", "safetensors"),
    ],
)
def test_each_format_is_told_by_its_content(tmp_path: Path, raw: bytes, name: str, format: str) -> None:
    (path := tmp_path / "model.bin").write_bytes(raw)
    found = kind(path)
    assert found is not None
    assert found.name == name
    with open_source(str(path)) as file:
        assert read(file).format == format


@pytest.mark.parametrize("raw", [b"", b"plain text", saved_by_torch()[:500], saved_by_numpy()[:9], bytes(8) + b"{"])
def test_what_is_not_understood_can_be_kept_as_bytes(tmp_path: Path, raw: bytes) -> None:
    (path := tmp_path / "f").write_bytes(raw)
    with open_source(str(path)) as file:
        reading = read(file)
        assert reading.spans == ((Literal(0, len(raw)),) if raw else ())
        with pytest.raises(FormatError) as caught:
            read_spans(file)
    assert str(caught.value) == str(reading.warning)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(path := tmp_path / "f", "w") as archive:
        archive.writestr("doc.txt", "text")
    with pytest.raises(UnsupportedError, match="expected one of PyTorch or NumPy, found 'doc"):
        spans(path)


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
        *[(pickle.dumps({"w": 1}, protocol), "a pickle") for protocol in (2, 3, 4, 5)],
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
    assert str(caught.value) == f"{path}: this is {what}, which is not supported yet; save it as safetensors"


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
    assert str(caught.value) == f"{path}: unknown kind of file at byte 0; expected one of {KINDS}, found {found}"


@pytest.mark.parametrize("raw", [b'{"a": 1}', b"a: 1\n", b"", "\u00fcber\r\n".encode(), b"x" * 511 + "\u00fc".encode()])
def test_text_is_told_from_other_bytes(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(raw)
    with open_source(str(path)) as file:
        assert is_text(file)
    path.write_bytes(raw[:400] + b"\xff\x00")
    with open_source(str(path)) as file:
        assert not is_text(file)
