"""Making a file of a tool that does not sync survive a power cut: the fair setting for such a tool."""

from __future__ import annotations

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Flush ``path`` and its name in the folder to the device."""
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """The same for all files below ``folder``."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
