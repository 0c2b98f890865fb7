"""Folders compared in all that a store keeps of them: names, kinds, permissions, times, link texts and bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def listed(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything at and below ``root`` by its relative path."""
    return {os.fspath(path.relative_to(root)): _facts(path) for path in [root, *root.rglob("*")]}


def _facts(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path), status.st_mtime_ns
    kept = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    if path.is_dir():
        return "folder", *kept
    return "file", hashlib.sha256(path.read_bytes()).hexdigest(), *kept
