"""Zip archives of every writer: each stored entry's bytes are where the reader says."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import as_file, saved

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.zips import Archive, ends_archive, read_archive
from deltackpt.formats.zips import end as zip_end

FILES = {"a": b"alpha", "folder/b": b"", "c": bytes(70_000)}


def zipped(files: dict[str, bytes] = FILES, comment: bytes = b"", **options: bool) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.comment = comment
        for name, content in files.items():
            with archive.open(name, "w", **options) as entry:
                entry.write(content)
    return buffer.getvalue()


def streamed() -> bytes:
    """By a writer that cannot seek: sizes and checksums come after the data."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.raw = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.raw += piece
            return len(piece)

    with zipfile.ZipFile(stream := Stream(), "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return bytes(stream.raw)


def archive_of(raw: bytes, stop: int | None = None) -> Archive:
    with as_file(raw) as file:
        return read_archive(file, len(raw) if stop is None else stop)


@pytest.mark.parametrize(
    "write",
    [zipped, streamed, lambda: zipped(force_zip64=True), lambda: zipped(comment=b"PK\5\6" * 9)],
    ids=["plain", "streamed", "zip64", "comment"],
)
def test_entries_are_where_the_reader_says(write: Callable[[], bytes]) -> None:
    raw = write()
    archive = archive_of(raw)
    assert (archive.start, archive.stop) == (0, len(raw))
    assert {e.name: raw[e.offset : e.end] for e in archive.entries} == FILES
    assert all(entry.is_stored for entry in archive.entries)


def test_a_packed_entry_is_not_stored() -> None:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1000))
    (entry,) = archive_of(buffer.getvalue()).entries
    assert (entry.is_stored, entry.size) == (False, 1000)


def test_pytorch_archives_agree_with_zipfile() -> None:
    raw = saved({str(i): __import__("torch").ones(i) for i in range(5)})
    with zipfile.ZipFile(io.BytesIO(raw)) as official:
        expected = {info.filename: official.read(info) for info in official.infolist()}
    assert {e.name: raw[e.offset : e.end] for e in archive_of(raw).entries} == expected


def test_archives_one_behind_the_other() -> None:
    one, two = zipped({"a": b"1"}), zipped({"a": b"22"}, force_zip64=True)
    both = b"before" + one + two
    last = archive_of(both)
    assert last.start == len(both) - len(two)
    first = archive_of(both, last.start)
    assert first.start == 6
    assert [both[e.offset : e.end] for a in (first, last) for e in a.entries] == [b"1", b"22"]


def test_an_empty_archive_has_no_entries() -> None:
    assert archive_of(zipped({})).entries == ()


def test_where_an_archive_ends() -> None:
    raw = zipped()
    with as_file(raw) as file:
        assert ends_archive(file, len(raw))
        assert not ends_archive(file, len(raw) - 1)
        assert not ends_archive(file, 3)


@settings(max_examples=60)
@given(st.dictionaries(st.text("abc/é", min_size=1, max_size=6).filter(lambda n: n[0] != "/"), st.binary(max_size=99)))
def test_any_archive_reads_as_zipfile_reads_it(files: dict[str, bytes]) -> None:
    raw = zipped(files)
    assert {e.name: raw[e.offset : e.end] for e in archive_of(raw).entries} == files


def test_more_entries_than_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_end, "MAX_ENTRIES", 2)
    with pytest.raises(LimitError, match="expected at most 2 entries, found 3"):
        archive_of(zipped())


def test_a_larger_directory_than_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_end, "MAX_DIRECTORY_BYTES", 20)
    with pytest.raises(LimitError, match="expected at most 20 bytes"):
        archive_of(zipped())


def test_every_truncation_is_refused() -> None:
    raw = zipped({"a": b"alpha"}, force_zip64=True)
    for size in range(len(raw)):
        with pytest.raises(FormatError, match="f: a zip archive at byte"):
            archive_of(raw[:size])
