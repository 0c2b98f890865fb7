"""What tells that a repair has changed the past, also to a user who may not list the quarantine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deltackpt import Store
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.past import past
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk, reading_errors

OPENED = """
import sys, deltackpt
from deltackpt.maintenance.doctor.examine import examine
with deltackpt.Store(sys.argv[1]) as store:
    print(store.load("main")["step"], store.verify(data=True).ok)
print([trouble.what for trouble in examine(sys.argv[1]).troubles])
"""


class Closed(Disk):
    """The quarantine belongs to somebody else."""

    def names(self, path: str) -> list[str]:
        with reading_errors("listing", path):
            if path.endswith("quarantine"):
                raise PermissionError(13, os.strerror(13))
        return super().names(path)


# The superuser may list everything until it gives that up.
WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def test_a_store_opens_for_a_user_who_may_not_list_its_quarantine(store: Store) -> None:
    store.commit({"step": 7})
    quarantine = Path(store.path, "quarantine")
    quarantine.mkdir()
    (quarantine / "0000000000000001-0.rec").write_bytes(b"x")
    quarantine.chmod(0)
    try:
        command = [*WITHOUT_PRIVILEGE, sys.executable, "-c", OPENED, store.path]
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        quarantine.chmod(0o700)
    assert done.returncode == 0, done.stderr
    loaded, troubles = done.stdout.splitlines()
    assert loaded == "7 True"
    assert "folder 'quarantine' cannot be listed by this user" in troubles


def test_what_comes_to_a_closed_quarantine_is_another_past(store: Store) -> None:
    layout = Layout(store.path)
    assert past(Disk(), layout) == b""
    os.mkdir(layout.quarantine)
    before = past(Closed(), layout)
    assert before != past(Disk(), layout) == b"", "it may hold anything"
    assert past(Closed(), layout) == before
    os.utime(layout.quarantine, ns=(0, 0))
    assert past(Closed(), layout) != before


def test_a_quarantine_that_the_disk_does_not_give_is_an_error(store: Store) -> None:
    path = Path(store.path, "quarantine")
    path.write_bytes(b"no folder")
    with pytest.raises(StorageError, match="listing"):
        past(Disk(), Layout(store.path))
