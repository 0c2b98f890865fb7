"""What can be known before the first step: whether saving will work, whether somebody else writes the same branch."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import uuid

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.fs.disk import Disk, DiskFullError, ReadOnlyError
from deltackpt.fs.kind import filesystem_kind
from deltackpt.history.refs import Branch
from deltackpt.store import Store

log = logging.getLogger("deltackpt")

LEAST_ROOM = 16 << 20
# How old another host's last commit may be and still look like a job at work.
RECENT_SECONDS = 900.0


def check(path: str, branch: str, nbytes: int) -> None:
    """Find out now what would keep states of ``nbytes`` from being saved on ``branch``; makes the store if need be."""
    with opened(path) as store:
        check_writable(store)
        check_room(store, nbytes)
        warn_of_others(store, branch)


def opened(path: str) -> Store:
    """The store at ``path``, made when there is none; UnsupportedError when it is of a newer format."""
    with contextlib.suppress(NotFoundError):
        return Store(path)
    try:
        return Store.init(path)
    except InvalidInputError:
        # Another process may have made it meanwhile, as when all ranks or jobs of a sweep begin at once.
        with contextlib.suppress(NotFoundError):
            return Store(path)
        raise


def place(store: Store) -> str:
    """Where a store is: its absolute path, and what kind of file system that is on."""
    return f"{store.path} ({filesystem_kind(store.path)})"


def check_writable(store: Store) -> None:
    """ReadOnlyError unless a file can be made where packs are."""
    disk, path = Disk(), os.path.join(Layout(store.path).tmp, f"probe-{uuid.uuid4().hex}")
    try:
        disk.close(disk.create(path), path)
        disk.unlink(path)
    except FileNotFoundError as error:
        raise ReadOnlyError(f"{os.path.dirname(path)!r} is missing; the store cannot be written") from error


def check_room(store: Store, nbytes: int) -> None:
    """DiskFullError when a first commit of ``nbytes`` cannot fit; a warning when it may not."""
    facts = os.statvfs(store.path)
    free = facts.f_bavail * facts.f_frsize
    needed = nbytes // 2 if not store.branches() else 0
    if free < LEAST_ROOM or free < needed:
        raise DiskFullError(
            f"{place(store)} has {free / 1e6:.0f} MB left, and a state is {nbytes / 1e6:.0f} MB; free some room first"
        )
    if free < nbytes:
        log.warning("%s has %.0f MB left, less than one state of %.0f MB", place(store), free / 1e6, nbytes / 1e6)


def warn_of_others(store: Store, branch: str) -> None:
    """Say so when the branch's last commit was made by a process that is still there, or just now on another host.

    Never more than a warning: a dead job must not delay the one that takes over. Commits check for themselves.
    """
    key = Branch(branch).key
    for operation in store.oplog():
        if any(move.name == key for move in operation.record.refs):
            if _at_work(operation.actor, operation.record.time_ns / 1e9):
                log.warning(
                    "another job (%s) seems to write branch %r of %s; whoever commits second is refused",
                    operation.actor,
                    branch,
                    place(store),
                )
            return


def _at_work(actor: str, when: float) -> bool:
    host, _, pid = actor.rpartition(":")
    if host != socket.gethostname():
        return time.time() - when < RECENT_SECONDS
    return pid.isdigit() and int(pid) != os.getpid() and _is_writer(int(pid))


def _is_writer(pid: int) -> bool:
    """Whether the process is one that commits for a training; a number may have been given to another one since."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"python" in file.read()
    except OSError:
        return False
