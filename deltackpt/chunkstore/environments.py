"""The one environment that a process has for each folder, through forks and as long as anybody uses it."""

from __future__ import annotations

import os
import threading

from deltackpt.chunkstore.environment import Environment

_shared: dict[str, Environment] = {}
_sharing = threading.Lock()


# A child opens no environment before the inherited one is closed, and closing waits for ever for a transaction of a
# thread that the child does not have. So a fork waits until no transaction is under way.


def _before_fork() -> None:
    _sharing.acquire()
    for environment in _shared.values():
        environment.lock.pause()


def _after_fork_in_parent() -> None:
    for environment in _shared.values():
        environment.lock.resume()
    _sharing.release()


def _after_fork_in_child() -> None:
    for environment in _shared.values():
        environment.leave_to_parent()
    _shared.clear()
    _sharing.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def shared_environment(folder: str) -> Environment:
    """The process's one environment for ``folder``, a real path; a forked child gets its own."""
    with _sharing:
        if folder not in _shared:
            _shared[folder] = Environment(folder)
        return _shared[folder]


def join(folder: str, user: object) -> None:
    """Count ``user`` among those for whom the environment of ``folder`` stays open."""
    shared_environment(folder).users.add(user)


def leave(folder: str, user: object) -> None:
    """Count ``user`` no more; without users the environment rests. It can still be used, and is opened again then."""
    environment = shared_environment(folder)
    environment.users.discard(user)
    if not environment.users:
        environment.rest()
