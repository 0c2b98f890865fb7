"""A file for the user: whole under its name, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from disks import files

from deltackpt.errors import InvalidInputError
from deltackpt.fs.disk import Disk, DiskFullError
from deltackpt.fs.target import TargetExistsError, TargetFile


def write(path: Path, text: bytes = b"whole", *, force: bool = False) -> None:
    with TargetFile(Disk(), str(path), len(text), force=force) as target:
        target.write_at(2, text[2:])
        assert not path.exists() or force
        target.write_at(0, text[:2])


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "out")
    assert files(tmp_path) == {"out": b"whole"}


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TargetFile(Disk(), str(tmp_path / "out"), 5):
        raise KeyboardInterrupt
    assert files(tmp_path) == {}


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(TargetExistsError, match="--force"):
        write(path)
    assert path.read_bytes() == b"old"
    write(path, force=True)
    assert files(tmp_path) == {"out": b"whole"}


def test_what_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "out"
    target = TargetFile(Disk(), str(path), 1)
    path.write_bytes(b"theirs")
    with pytest.raises(TargetExistsError), target:
        target.write_at(0, b"x")
    assert files(tmp_path) == {"out": b"theirs"}


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_only_files_are_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
    with pytest.raises(TargetExistsError, match="is not a regular file"):
        write(path, force=True)


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out").symlink_to("precious")
    with pytest.raises(TargetExistsError):
        write(tmp_path / "out")
    write(tmp_path / "out", force=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out").is_symlink()


def test_a_second_name_of_the_file_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    os.link(tmp_path / "out", tmp_path / "twin")
    write(tmp_path / "out", force=True)
    assert (tmp_path / "twin").read_bytes() == b"old"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"folder .* does not exist"):
        write(tmp_path / "none" / "out")


def test_a_disk_that_is_too_small_says_so_at_once(tmp_path: Path) -> None:
    class Small(Disk):
        def allocate(self, fd: int, size: int, path: str) -> None:
            raise DiskFullError("too small")

    with pytest.raises(DiskFullError), TargetFile(Small(), str(tmp_path / "out"), 5):
        pass
    assert files(tmp_path) == {}


def test_a_library_writes_by_path(tmp_path: Path) -> None:
    with TargetFile(Disk(), str(tmp_path / "out"), 3) as target:
        Path(target.staged).write_bytes(b"more than that")
        assert target.size == 14
        assert not (tmp_path / "out").exists()
    assert files(tmp_path) == {"out": b"more than that"}
