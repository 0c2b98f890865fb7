"""What a walk over a folder finds, and what it refuses."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deltackpt.errors import InvalidInputError, LimitError, NotFoundError, StorageError
from deltackpt.fs import tree
from deltackpt.fs.descriptors import MAX_OPEN
from deltackpt.fs.open_files import OpenFiles
from deltackpt.fs.tree import ChangedError, Found, FoundFile, FoundLink, open_tree, outside, walk


def walked(path: Path) -> tuple[Found, ...]:
    with open_tree(str(path)) as root:
        return walk(root, str(path))


def test_everything_is_found_in_order_and_no_link_followed(tmp_path: Path) -> None:
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "sub" / "w").write_bytes(b"123")
    (tmp_path / "sub-1").write_bytes(b"")
    (tmp_path / "up").symlink_to("..")
    found = walked(tmp_path)
    assert [one.path for one in found] == ["", "sub", "sub-1", "sub/empty", "sub/w", "up"]
    assert [one.size for one in found if isinstance(one, FoundFile)] == [0, 3]
    assert [one.target for one in found if isinstance(one, FoundLink)] == [".."]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"a\nb", b"\x1b[31m", b" ", b"a", b"A", "é".encode(), "e\u0301".encode()]
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).write_bytes(b"x")
    assert [os.fsencode(one.path) for one in walked(tmp_path)[1:]] == sorted(names)


@pytest.mark.parametrize("kind", ["a FIFO", "a device or socket"])
def test_what_is_no_file_is_named_and_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sub").mkdir()
    odd = tmp_path / "sub" / "odd"
    if kind == "a FIFO":
        os.mkfifo(odd)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(odd))
    with pytest.raises(InvalidInputError) as caught:
        walked(tmp_path)
    assert str(caught.value) == f"{odd}: {kind} cannot be committed; remove it"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"), open_tree(str(tmp_path / "none")):
        pass


def test_a_tree_beyond_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"")
    monkeypatch.setattr(tree, "MAX_FOUND", 5)
    with pytest.raises(LimitError, match="more than 5 files and folders"):
        walked(tmp_path)
    monkeypatch.undo()
    os.makedirs(tmp_path / "/".join("d" * 40))
    monkeypatch.setattr(tree, "MAX_STEPS", 30)
    with pytest.raises(LimitError, match="lies deeper than 30 folders"):
        walked(tmp_path)


def test_a_file_that_was_replaced_since_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"old")
    with open_tree(str(tmp_path)) as root, OpenFiles(root, str(tmp_path), walk(root, "x")) as files:
        (tmp_path / "new").write_bytes(b"new")
        (tmp_path / "new").rename(tmp_path / "w")
        with pytest.raises(ChangedError, match="changed while it was being read"), files.lend("w"):
            pass
        (tmp_path / "w").unlink()
        (tmp_path / "w").symlink_to("/etc/passwd")
        with pytest.raises(ChangedError), files.lend("w"):
            pass


def test_only_so_many_files_stay_open(tmp_path: Path) -> None:
    for number in range(3 * MAX_OPEN):
        (tmp_path / f"{number:04}").write_bytes(b"%d" % number)
    before = len(os.listdir("/proc/self/fd"))
    with (
        open_tree(str(tmp_path)) as root,
        OpenFiles(root, str(tmp_path), walk(root, "x")) as files,
        files.lend("0000") as first,
    ):
        for number in range(3 * MAX_OPEN):
            with files.lend(f"{number:04}") as fd:
                assert os.pread(fd, 9, 0) == b"%d" % number
        assert os.pread(first, 9, 0) == b"0"
        assert len(os.listdir("/proc/self/fd")) - before <= MAX_OPEN + 2
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").write_bytes(b"")
    with open_tree(str(tmp_path)) as root, OpenFiles(root, str(tmp_path), walk(root, "x")) as files:

        def refuse(*args: object, **named: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("deltackpt.fs.open_files.open_beneath", refuse)
        with pytest.raises(StorageError) as caught, files.lend("w"):
            pass
    assert str(caught.value) == f"{tmp_path}/w: cannot be opened: Permission denied"


@pytest.mark.parametrize(
    ("links", "leads_out"),
    [
        ({"a": "b"}, False),
        ({"a": "../x"}, True),
        ({"a": "/etc"}, True),
        ({"a": ""}, False),
        ({"a": "."}, False),
        ({"d/a": "../x"}, False),
        ({"d/a": "../../x"}, True),
        ({"d/e/a": "../../x"}, False),
        ({"a": "s/../x", "s": "d/e"}, False),
        ({"a": "s/../../x", "s": "d/e"}, False),
        ({"a": "s/../../../x", "s": "d/e"}, True),
        ({"a": "d/../../x"}, True),
        ({"a": "b", "b": "a"}, False),
        ({"a": "a"}, False),
        ({"a": "b/x", "b": "/tmp"}, True),
        ({"a": "b", "b": ".."}, True),
    ],
)
def test_where_a_link_leads(links: dict[str, str], leads_out: bool) -> None:
    first = next(iter(links))
    assert outside(links, first) is leads_out
