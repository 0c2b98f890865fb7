"""The one module that touches files: what each call does, and how it says no."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
from pathlib import Path

import pytest

from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk, DiskFullError, ReadOnlyError, reading_errors, storage_errors


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_a_file_from_pieces(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    fd = disk.create(path)
    pieces = [b"", b"one", memoryview(b" two"), bytearray(b" three"), *[bytes([i % 256]) for i in range(3_000)]]
    disk.write(fd, pieces, path)
    disk.sync(fd, path)
    disk.close(fd, path)
    whole = b"".join(bytes(piece) for piece in pieces)
    assert disk.read(path, len(whole)) == whole
    assert disk.size(path) == len(whole)


def test_more_than_one_call_of_the_kernel_takes(disk: Disk, tmp_path: Path) -> None:
    """A pipe takes what fits; the rest follows."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        disk.write(writing, [b"x" * 300_000, b"y"], "pipe")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"x" * 300_000 + b"y"
    assert os.waitpid(child, 0)[1] == 0


def test_a_name_is_taken_once(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    disk.close(disk.create(path), path)
    with pytest.raises(FileExistsError):
        disk.create(path)
    disk.link(path, f"{path}.2")
    with pytest.raises(FileExistsError):
        disk.link(path, f"{path}.2")
    disk.unlink(path)
    disk.unlink(path)
    assert disk.names(str(tmp_path)) == ["file.2"]


def test_folders(disk: Disk, tmp_path: Path) -> None:
    folder = str(tmp_path / "folder")
    disk.make_directory(folder)
    disk.make_directory(folder)
    disk.sync_directory(folder)
    assert disk.names(folder) == []
    assert disk.names(str(tmp_path / "none")) == []
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        disk.make_directory(str(tmp_path / "file"))


def test_modes_obey_umask(disk: Disk, tmp_path: Path) -> None:
    saved = os.umask(0o027)
    try:
        path = str(tmp_path / "file")
        disk.close(disk.create(path), path)
        disk.make_directory(str(tmp_path / "folder"))
    finally:
        os.umask(saved)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(tmp_path / "folder").st_mode) == 0o750


def test_reading_beyond_the_end(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    fd = disk.open(str(path))
    assert disk.read_at(fd, 4, 3, str(path)) == b"456"
    assert disk.read_at(fd, 8, 100, str(path)) == b"89"
    assert disk.read_at(fd, 10, 1, str(path)) == b""
    disk.close(fd, str(path))
    with pytest.raises(StorageError, match="is 10 bytes, more than the 9"):
        disk.read(str(path), 9)
    with pytest.raises(FileNotFoundError):
        disk.open(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (errno.ENOSPC, DiskFullError, "free some room"),
        (errno.EDQUOT, DiskFullError, "free some room"),
        (errno.EFBIG, DiskFullError, "free some room"),
        (errno.EROFS, ReadOnlyError, "reading the store still works"),
        (errno.EACCES, ReadOnlyError, "reading the store still works"),
        (errno.EIO, StorageError, "as it was before"),
        (errno.ESTALE, StorageError, "as it was before"),
    ],
)
def test_refusals_are_typed(code: int, kind: type[StorageError], advice: str) -> None:
    with pytest.raises(kind, match=advice) as refused, storage_errors("writing", "a file"):
        raise OSError(code, os.strerror(code))
    assert str(refused.value).startswith("writing 'a file' failed: ")
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 8


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_is_not_said_to_be_readable(code: int) -> None:
    advice = r"reading 'a pack' failed: .*; (look at its owner|check that disk)"
    with pytest.raises(StorageError, match=advice) as refused, reading_errors("reading", "a pack"):
        raise OSError(code, os.strerror(code))
    assert "still works" not in str(refused.value)
    assert not isinstance(refused.value, ReadOnlyError)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EUCLEAN])
def test_a_disk_or_a_share_that_does_not_answer_has_not_said_no(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(path: str) -> os.stat_result:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", fail)
        with pytest.raises(StorageError, match=r"looking at 'a pack' failed: .*; check that disk"):
            disk.exists("a pack")


def test_where_nothing_can_be_there_is_nothing(disk: Disk, tmp_path: Path) -> None:
    """Neither in what is no folder, nor at the end of a circle, nor under a name too long or with a NUL."""
    file, circle = tmp_path / "file", tmp_path / "circle"
    file.write_bytes(b"bytes")
    circle.symlink_to(circle)
    fd = disk.open(str(file))
    assert disk.is_at(fd, str(file))
    for path in (f"{tmp_path}/nothing", f"{file}/below", str(circle), f"{tmp_path}/{'n' * 300}"):
        assert not disk.exists(path)
        assert not disk.is_at(fd, path)
    assert not disk.exists("a\0b")
    disk.close(fd, str(file))


def test_a_limit_on_the_size_of_files(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    child = os.fork()
    if not child:
        import signal

        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
            fd = disk.create(path)
            disk.write(fd, [bytes(2_000)], path)
        except DiskFullError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_room_set_aside(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    fd = disk.create(path)
    disk.allocate(fd, 0, path)
    assert disk.size(path) == 0
    disk.allocate(fd, 10_000, path)
    assert disk.size(path) == 10_000
    disk.close(fd, path)


@pytest.fixture
def like_macos(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """No ``posix_fallocate``, and the call that syncs the drive; the calls that sync, in order."""
    calls: list[tuple[str, int]] = []
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: calls.append(("fcntl", command)))
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("fsync", 0)))
    return calls


def test_macos_syncs_the_drive(disk: Disk, tmp_path: Path, like_macos: list[tuple[str, int]]) -> None:
    path = str(tmp_path / "file")
    fd = disk.create(path)
    disk.sync(fd, path)
    disk.close(fd, path)
    disk.sync_directory(str(tmp_path))
    assert like_macos == [("fcntl", 51), ("fcntl", 51)]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_that_cannot_sync_the_drive_is_synced_as_far_as_it_can(
    disk: Disk, tmp_path: Path, like_macos: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(fd: int, command: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    disk.sync_directory(str(tmp_path))
    assert like_macos == [("fsync", 0)]


def test_a_sync_that_failed_is_not_tried_in_another_way(
    disk: Disk, tmp_path: Path, like_macos: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, command: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "fcntl", fail)
    with pytest.raises(StorageError, match="syncing"):
        disk.sync_directory(str(tmp_path))
    assert like_macos == []


def test_room_that_cannot_be_set_aside_is_compared_with_what_is_free(
    disk: Disk, tmp_path: Path, like_macos: list[tuple[str, int]]
) -> None:
    path = str(tmp_path / "file")
    fd = disk.create(path)
    disk.allocate(fd, 10_000, path)
    assert disk.size(path) == 10_000
    assert os.stat(path).st_blocks > 0
    disk.allocate(fd, 3 << 20, path)
    assert disk.size(path) == 3 << 20
    with pytest.raises(DiskFullError, match="reserving room"):
        disk.allocate(fd, 1 << 60, path)
    disk.close(fd, path)
