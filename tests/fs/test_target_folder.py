"""A folder tree for the user: whole under its name, or not there; and nothing anywhere else."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from deltackpt.errors import InvalidInputError, StorageError
from deltackpt.fs.disk import Disk, DiskFullError
from deltackpt.fs.target import TargetExistsError
from deltackpt.fs.target_folder import TargetFolder

OLD, NEW = 1_000_000_001_000_000_007, 1_600_000_000_123_456_789


def write(path: Path, *, force: bool = False, disk: Disk | None = None) -> None:
    with TargetFolder(disk or Disk(), str(path), 5, force=force) as target:
        target.folder("", 0o755, NEW)
        target.folder("sub", 0o555, OLD)
        target.folder("sub/empty", 0o700, OLD)
        whole = target.file("sub/w", 5, 0o444, OLD)
        whole.write_at(2, b"cde")
        target.file("nothing", 0, 0o640, OLD)
        target.link("last", "sub/w", OLD)
        whole.write_at(0, b"ab")


def listed(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_everything_is_as_it_was_told(tmp_path: Path) -> None:
    write(out := tmp_path / "out")
    assert listed(tmp_path) == ["out"]
    assert (out / "sub/w").read_bytes() == b"abcde"
    assert (out / "nothing").read_bytes() == b""
    assert os.readlink(out / "last") == "sub/w"
    modes = {name: stat.S_IMODE((out / name).lstat().st_mode) for name in ("", "sub", "sub/empty", "sub/w", "nothing")}
    assert modes == {"": 0o755, "sub": 0o555, "sub/empty": 0o700, "sub/w": 0o444, "nothing": 0o640}
    times = {name: (out / name).lstat().st_mtime_ns for name in ("", "sub", "sub/empty", "sub/w", "last")}
    assert times == {"": NEW, "sub": OLD, "sub/empty": OLD, "sub/w": OLD, "last": OLD}


def fail_half_way(path: Path) -> None:
    with TargetFolder(Disk(), str(path), 5) as target:
        target.folder("", 0o755, NEW)
        target.folder("sub", 0o555, OLD)
        target.file("sub/w", 5, 0o444, OLD).write_at(0, b"ab")
        raise KeyboardInterrupt


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        fail_half_way(tmp_path / "out")
    assert listed(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before


class FailingSync(Disk):
    """The n-th sync fails."""

    def __init__(self, sound: int) -> None:
        self.left = sound

    def sync(self, fd: int, path: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageError(f"syncing {path!r} failed")
        super().sync(fd, path)


@pytest.mark.parametrize("sound", range(5))
def test_a_sync_that_fails_leaves_what_was_there(tmp_path: Path, sound: int) -> None:
    write(out := tmp_path / "out")
    (out / "mine").write_bytes(b"precious")
    with pytest.raises(StorageError):
        write(out, force=True, disk=FailingSync(sound))
    assert (out / "mine").read_bytes() == b"precious"
    assert listed(tmp_path) == ["out"]


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    (out / "mine").write_bytes(b"precious")
    with pytest.raises(TargetExistsError, match="--force"):
        write(out)
    assert listed(out) == ["mine"]
    write(out, force=True)
    assert listed(out) == ["last", "nothing", "sub"]
    assert listed(tmp_path) == ["out"]


def test_a_tree_that_forbids_writing_can_be_replaced(tmp_path: Path) -> None:
    write(out := tmp_path / "out")
    write(out, force=True)
    assert listed(tmp_path) == ["out"]


def test_a_hard_link_to_an_old_file_keeps_its_content(tmp_path: Path) -> None:
    write(out := tmp_path / "out")
    os.link(out / "sub/w", tmp_path / "twin")
    write(out, force=True)
    assert (tmp_path / "twin").read_bytes() == b"abcde"
    assert (tmp_path / "twin").stat().st_nlink == 1


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (real := tmp_path / "real").mkdir()
    (real / "mine").write_bytes(b"precious")
    (tmp_path / "out").symlink_to(real)
    write(tmp_path / "out", force=True)
    assert not (tmp_path / "out").is_symlink()
    assert listed(real) == ["mine"]


def test_links_in_an_old_tree_are_removed_not_followed(tmp_path: Path) -> None:
    (real := tmp_path / "real").mkdir()
    (real / "mine").write_bytes(b"precious")
    (out := tmp_path / "out").mkdir()
    (out / "away").symlink_to(real)
    write(out, force=True)
    assert listed(real) == ["mine"]


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_neither_file_nor_folder_is_never_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "fifo":
        os.mkfifo(out)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(out))
    with pytest.raises(TargetExistsError, match="exists and is no folder"):
        write(out, force=True)
    assert listed(tmp_path) == ["out"]


def test_a_folder_above_that_is_swapped_meanwhile_takes_the_tree_with_it(tmp_path: Path) -> None:
    above, trap = tmp_path / "above", tmp_path / "trap"
    above.mkdir()
    trap.mkdir()
    with TargetFolder(Disk(), str(above / "out"), 2) as target:
        target.folder("", 0o755, NEW)
        above.rename(tmp_path / "moved")
        above.symlink_to(trap)
        target.file("w", 2, 0o644, OLD).write_at(0, b"ab")
    assert listed(trap) == []
    assert (tmp_path / "moved/out/w").read_bytes() == b"ab"


def swap_a_folder(path: Path, trap: Path) -> None:
    with TargetFolder(Disk(), str(path), 2) as target:
        target.folder("", 0o755, NEW)
        target.folder("sub", 0o755, NEW)
        (staged,) = path.parent.glob(".out.*.tmp")
        (staged / "sub").rmdir()
        (staged / "sub").symlink_to(trap)
        target.file("sub/w", 2, 0o644, OLD)


def test_a_folder_within_that_is_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    (trap := tmp_path / "trap").mkdir()
    with pytest.raises(StorageError):
        swap_a_folder(tmp_path / "out", trap)
    assert listed(trap) == []
    assert listed(tmp_path) == ["trap"]


def take_the_name(path: Path) -> None:
    with TargetFolder(Disk(), str(path), 0) as target:
        target.folder("", 0o755, NEW)
        path.mkdir()
        (path / "mine").write_bytes(b"precious")


def test_a_name_that_somebody_took_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(TargetExistsError):
        take_the_name(tmp_path / "out")
    assert listed(tmp_path) == ["out"]
    assert listed(tmp_path / "out") == ["mine"]


def test_a_disk_that_has_no_room_says_so_first(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="needs 1152921504606846976 bytes"):
        TargetFolder(Disk(), str(tmp_path / "out"), 1 << 60)
    assert listed(tmp_path) == []


def test_a_target_that_cannot_be(tmp_path: Path) -> None:
    for path, what in (("a\0b", "NUL"), ("/", "root of a file system"), (str(tmp_path / "x/y"), "does not exist")):
        with pytest.raises(InvalidInputError, match=what):
            TargetFolder(Disk(), path, 0)


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    write(out := tmp_path / ("ü" * 127))
    assert (out / "sub/w").read_bytes() == b"abcde"


def test_what_a_library_writes_by_path_is_taken_in(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TargetFolder(Disk(), str(out), 5) as target:
        target.folder("", 0o755, NEW)
        (staged := Path(target.staged)).joinpath("a/b").mkdir(parents=True)
        (staged / "a/b/one").write_bytes(b"123")
        (staged / "two").write_bytes(b"45")
        (staged / "two").chmod(0o600)
        os.utime(staged / "a", ns=(OLD, OLD))
        assert target.take_in() == 5
        assert listed(tmp_path) == [staged.name]
    assert listed(tmp_path) == ["out"]
    assert ((out / "a/b/one").read_bytes(), (out / "two").read_bytes()) == (b"123", b"45")
    assert stat.S_IMODE((out / "two").lstat().st_mode) == 0o600
    assert ((out / "a").lstat().st_mtime_ns, out.lstat().st_mtime_ns) == (OLD, NEW)


def test_what_a_library_leaves_half_done_is_removed(tmp_path: Path) -> None:
    def fail() -> None:
        with TargetFolder(Disk(), str(tmp_path / "out"), 5) as target:
            (Path(target.staged) / "deep").mkdir()
            (Path(target.staged) / "deep/file").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert listed(tmp_path) == []
