"""What a later reader needs to know of where a commit was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from functools import cache


@cache
def environment() -> dict[str, str]:
    """Versions, host and, when the working folder lies in a git checkout, the commit of the training code.

    Looked at once in a process: a run does not change its code under itself.
    """
    found = {"python": platform.python_version(), "platform": platform.platform(), "host": socket.gethostname()}
    for package in ("deltackpt", "torch", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if code := _git_commit(os.getcwd()):
        found["git"] = code
    return found


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
