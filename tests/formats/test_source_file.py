"""A file to commit: exact reads, and a typed error for whatever it turns out to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deltackpt.errors import FormatError, InvalidInputError, NotFoundError, StorageError
from deltackpt.formats.source_file import SourceFile, open_source


def test_reads_are_exact_and_share_no_position(tmp_path: Path) -> None:
    (path := tmp_path / "f").write_bytes(b"0123456789")
    with open_source(str(path)) as file:
        assert (file.size, file.name) == (10, str(path))
        assert file.read(4, 3) == b"456"
        assert file.read(0, 3) == b"012"
        assert file.read(10, 0) == b""


def test_a_file_that_shrinks_while_it_is_read_is_named_with_the_byte(tmp_path: Path) -> None:
    (path := tmp_path / "f").write_bytes(bytes(100))
    with open_source(str(path)) as file:
        os.truncate(path, 60)
        with pytest.raises(FormatError) as caught:
            file.read(50, 30)
    expected = f"{path}: the file shrank at byte 60; expected 20 more bytes of a file that had 100, found its end"
    assert str(caught.value) == expected


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="needs Linux's /proc for a file whose first byte cannot be read"
)
def test_an_input_output_error_is_a_storage_error() -> None:
    with open_source("/proc/self/mem") as file, pytest.raises(StorageError) as caught:
        file.read(0, 1)
    assert str(caught.value) == "/proc/self/mem: reading 1 bytes at byte 0 failed: Input/output error"


def test_a_file_that_changes_after_it_was_opened_is_noticed(tmp_path: Path) -> None:
    (path := tmp_path / "f").write_bytes(bytes(100))
    with open_source(str(path)) as file:
        file.check_unchanged()
        os.utime(path, ns=(0, 0))
        with pytest.raises(
            InvalidInputError, match=r"changed while it was being read; commit it when its writer is done"
        ):
            file.check_unchanged()


def test_the_descriptor_is_closed_also_when_the_file_is_refused(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(InvalidInputError, match="a folder, not a regular file"), open_source(str(tmp_path)):
        pass
    assert len(os.listdir("/dev/fd")) == before


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "f")
    with pytest.raises(InvalidInputError, match="a FIFO, not a regular file"), open_source(str(path)):
        pass


def test_a_device_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="a device or socket, not a regular file"), open_source("/dev/zero"):
        pass


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"), open_source(str(tmp_path / "none")):
        pass


def test_a_path_with_nul_is_refused_in_printable_words() -> None:
    with pytest.raises(InvalidInputError) as caught, open_source("a\0b"):
        pass
    assert str(caught.value) == r"'a\x00b': a path cannot hold a NUL character"


def test_a_path_through_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be opened: Not a directory"), open_source(str(tmp_path / "f" / "g")):
        pass


def test_a_descriptor_of_the_caller_stays_open(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as handle:
        handle.write(b"abc")
        handle.flush()
        assert SourceFile.of(handle.fileno(), "mine").read(1, 2) == b"bc"
        assert not handle.closed
