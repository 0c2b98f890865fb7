"""Many short reads of a file that lie close together are few reads of the disk, and give the same bytes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import as_file

from deltackpt.errors import FormatError
from deltackpt.formats.buffered import BufferedFile
from deltackpt.formats.source_file import SourceFile, open_source

RAW = bytes(range(251)) * 200
PIECES = st.tuples(st.integers(0, len(RAW)), st.sampled_from([0, 1, 22, 1024, 1025, 9000])).map(
    lambda piece: (piece[0], min(piece[1], len(RAW) - piece[0]))
)


@given(st.lists(PIECES, max_size=20))
def test_every_piece_is_that_of_the_file(pieces: list[tuple[int, int]]) -> None:
    with as_file(RAW) as file:
        buffered = BufferedFile.over(file)
        for offset, length in pieces:
            assert buffered.read(offset, length) == RAW[offset : offset + length]


def test_headers_of_archives_in_a_row_are_read_in_one_go_each(tmp_path: Path) -> None:
    asked = 0

    def counted() -> AbstractContextManager[int]:
        nonlocal asked
        asked += 1
        return nullcontext(fd)

    (path := tmp_path / "f").write_bytes(bytes(1 << 20))
    fd = os.open(path, os.O_RDONLY)
    buffered = BufferedFile.over(replace(SourceFile.of(fd, "f"), lend=counted))
    for start in range(0, 1 << 20, 1 << 18):
        # From its end back to its start, as the directory of an archive leads.
        for offset in (start + (1 << 18) - 22, start + (1 << 18) - 1500, start, start + 600):
            buffered.read(offset, 22)
    os.close(fd)
    assert asked == 1 + 4


def test_a_file_that_shrinks_is_named_with_the_byte(tmp_path: Path) -> None:
    (path := tmp_path / "f").write_bytes(bytes(100))
    with open_source(str(path)) as file:
        os.truncate(path, 60)
        buffered = BufferedFile.over(file)
        assert buffered.read(10, 50) == bytes(50)
        with pytest.raises(FormatError, match=r"the file shrank at byte 60; expected 20 more bytes"):
            buffered.read(50, 30)
