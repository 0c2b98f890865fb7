"""Folders that cannot be committed as they are, or that change meanwhile: one error that names the path, no commit."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from trees import listed

from deltackpt import DeltackptError, Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "c").mkdir()
    save_file({"w": np.arange(100_000, dtype=np.float32)}, made / "model.safetensors")
    return made


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")


def a_link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_link_above(path: Path) -> None:
    path.symlink_to("../../x")


@pytest.mark.parametrize("make", [os.mkfifo, a_socket, a_device, a_link_out, a_link_above])
def test_what_cannot_be_committed_is_named(store: Store, folder: Path, make: Callable[[Path], Any]) -> None:
    make(folder / "odd")
    with pytest.raises(DeltackptError, match="odd") as caught:
        store.commit(folder)
    assert "\n" not in str(caught.value)
    assert store.branches() == {}


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_by_itself_is_no_checkpoint(store: Store, path: str) -> None:
    with pytest.raises(DeltackptError, match=path):
        store.commit_path(path)
    assert store.branches() == {}


COMMIT = """
import sys, deltackpt
try:
    deltackpt.Store(sys.argv[1]).commit_path(sys.argv[2])
except deltackpt.StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("unreadable", ["model.safetensors", "below", ""])
def test_what_cannot_be_read_is_named(store: Store, folder: Path, unreadable: str) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "notes.txt").write_text("a")
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    mode = (folder / unreadable).stat().st_mode
    (folder / unreadable).chmod(0)
    try:
        command = [*powerless, sys.executable, "-c", COMMIT, store.path, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        (folder / unreadable).chmod(mode)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert str(folder / unreadable) in done.stdout
    assert "Permission denied" in done.stdout
    assert store.branches() == {}


def test_loops_and_links_within_come_back_as_links(store: Store, folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/up").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "latest").symlink_to("model.safetensors")
    store.commit(folder)
    store.checkout("main", tmp_path / "out")
    assert listed(tmp_path / "out") == listed(folder)


def test_names_modes_times_and_empty_folders_come_back(store: Store, folder: Path, tmp_path: Path) -> None:
    for name in (b"new\nline", b"esc\x1b[2J", b"not-utf8-\xff", "é".encode(), b" "):
        (folder / os.fsdecode(name)).write_bytes(name)
    (folder / "empty/deeper").mkdir(parents=True)
    (folder / "zero").touch()
    (folder / "run.sh").touch(0o755)
    os.utime(folder / "empty", ns=(1, 1_234_567_890_123_456_789))
    (folder / "empty").chmod(0o700)
    store.commit(folder)
    store.checkout("main", tmp_path / "out")
    assert listed(tmp_path / "out") == listed(folder)


@pytest.mark.parametrize("change", ["grow", "shrink", "add", "remove"])
def test_a_folder_that_changes_while_it_is_read(store: Store, folder: Path, change: str) -> None:
    (folder / "notes").write_text("x")
    changed = False

    def meanwhile(read: int) -> None:
        nonlocal changed
        if changed:
            return
        changed = True
        match change:
            case "grow":
                os.truncate(folder / "notes", 10)
            case "shrink":
                os.truncate(folder / "model.safetensors", 1000)
            case "add":
                (folder / "more").touch()
            case "remove":
                (folder / "notes").unlink()

    with pytest.raises(DeltackptError) as caught:
        store.commit(folder, progress=meanwhile)
    assert str(folder) in str(caught.value)
    assert store.branches() == {}
