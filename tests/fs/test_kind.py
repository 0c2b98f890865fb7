"""What kind of file system a path lies on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deltackpt.fs import kind
from deltackpt.fs.kind import NETWORK_KINDS, _lies_below, _unescaped, filesystem_kind, is_network


def test_known_places(tmp_path: Path) -> None:
    assert filesystem_kind("/proc/self") == "proc"
    assert filesystem_kind(str(tmp_path)) not in ("unknown", *NETWORK_KINDS)
    assert not is_network(str(tmp_path))


def test_a_mount_with_a_blank_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my disk\\of\tfiles é"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        assert filesystem_kind(str(folder / "s")) == "tmpfs"
        assert filesystem_kind(os.path.relpath(folder)) == "tmpfs"
    finally:
        subprocess.run(["umount", folder], check=True)


def test_names_as_the_kernel_writes_them() -> None:
    assert _unescaped(r"/mnt/my\040disk") == "/mnt/my disk"
    assert _unescaped(r"/a\011b\012c\134d") == "/a\tb\nc\\d"


def test_beginnings_are_whole_names() -> None:
    assert _lies_below("/mnt/a/b", "/mnt/a")
    assert _lies_below("/mnt/a", "/mnt/a")
    assert _lies_below("/x", "/")
    assert not _lies_below("/mnt/ab", "/mnt/a")


MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
server:/data on /Volumes/data (nfs, nodev, nosuid, mounted by ada)
//ada@server/share on /Volumes/data/My (own) share (smbfs, nodev, nosuid, mounted by ada)
ada@server: on /Volumes/work (macfuse, nodev, nosuid, synchronous, mounted by ada)
"""


@pytest.mark.parametrize(
    ("path", "expected", "network"),
    [
        ("/Users/ada/run", "apfs", False),
        ("/Volumes/data/run", "nfs", True),
        ("/Volumes/data/My (own) share/run", "smbfs", True),
        ("/Volumes/work", "macfuse", True),
        ("/Volumes/datable", "apfs", False),
    ],
)
def test_a_system_without_proc_is_asked_what_is_mounted(
    monkeypatch: pytest.MonkeyPatch, path: str, expected: str, network: bool
) -> None:
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        assert command == ["mount"]
        return subprocess.CompletedProcess(command, 0, MACOS.encode())

    def no_proc(path: str, **options: object) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(kind, "open", no_proc, raising=False)
    assert filesystem_kind(path) == expected
    assert is_network(path) is network
