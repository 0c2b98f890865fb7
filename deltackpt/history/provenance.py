"""What a later reader needs to know of where a commit was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache


@cache
def environment() -> dict[str, str]:
    """Versions, host and, when the running program or the working folder lies in a git checkout, its commit.

    Looked at once in a process: a run does not change its code under itself.
    """
    found = {"python": platform.python_version(), "platform": platform.platform(), "host": socket.gethostname()}
    for package in ("deltackpt", "torch", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if code := next(filter(None, map(_git_commit, _folders_of_code())), None):
        found["git"] = code
    return found


def _folders_of_code() -> Iterator[str]:
    """Where the training code may lie, likeliest first: around the running program, unless that is an installed one."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if program is not None:
        folder = os.path.dirname(os.path.realpath(program))
        prefix, package = os.path.realpath(sys.prefix), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        installed = (os.path.join(prefix, "bin"), os.path.join(prefix, "lib"), package)
        if not any(folder == place or folder.startswith(place + os.sep) for place in installed):
            yield folder
    yield os.getcwd()


def _git_commit(folder: str) -> str | None:
    """``<hash>`` or ``<hash>-dirty`` of the checkout around ``folder``, None when there is none or no git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None if described.returncode == 0 else None
