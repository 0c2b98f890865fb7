"""Backup programs. Of a state they are fed the safetensors file of each step, under the same path every time.

The whole command is timed, its start included, as a training script would wait for it; writing its input is
not. Both sync what they write themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.contender import folder_bytes
from benchmarks.snapshot import Snapshot


def _absent(program: str, package: str) -> str | None:
    return None if shutil.which(program) else f"missing: apt-get install {package}"


class Restic:
    """restic, its own compression (zstd, automatic), a local repository, its cache kept warm and not counted."""

    name: ClassVar[str] = "restic"

    @staticmethod
    def absent() -> str | None:
        return _absent("restic", "restic")

    def __init__(self, folder: Path) -> None:
        self.repository, self.input = folder / "repository", Path()
        places = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_CACHE_DIR": str(folder / "cache")}
        self.environment = {**os.environ, **places, "RESTIC_PASSWORD": "benchmark"}
        self._run("init")

    def commit(self, snapshot: Snapshot) -> None:
        self.input = snapshot.file.resolve()
        self.keep(self.input, snapshot.step)

    def keep(self, path: Path, step: int) -> None:
        """The same for any file or folder."""
        self._run("backup", "--tag", f"step-{step}", str(path))

    def restore(self, path: Path, step: int, target: Path) -> None:
        """Write what was kept of ``path`` to its place below ``target``."""
        self._run("restore", "--tag", f"step-{step}", "latest", "--target", str(target))

    def checkout(self, step: int, path: Path) -> None:
        with path.open("wb") as target:
            self._run("dump", "--tag", f"step-{step}", "latest", str(self.input), output=target.fileno())

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.repository)

    def _run(self, *arguments: str, output: int = subprocess.DEVNULL) -> None:
        subprocess.run(["restic", "--quiet", *arguments], check=True, stdout=output, env=self.environment)


class Borg:
    """borg with ``--compression zstd,3``, no encryption, its cache kept warm and not counted."""

    name: ClassVar[str] = "borg zstd,3"

    @staticmethod
    def absent() -> str | None:
        return _absent("borg", "borgbackup")

    def __init__(self, folder: Path) -> None:
        self.repository, self.input = folder / "repository", Path()
        answers = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self.environment = {**os.environ, **answers, "BORG_BASE_DIR": str(folder / "base")}
        self._run("init", "--encryption", "none", str(self.repository))

    def commit(self, snapshot: Snapshot) -> None:
        self.input = snapshot.file.resolve()
        self.keep(self.input, snapshot.step)

    def keep(self, path: Path, step: int) -> None:
        """The same for any file or folder."""
        self._run("create", "--compression", "zstd,3", self._archive(step), str(path))

    def restore(self, path: Path, step: int, target: Path) -> None:
        """Write what was kept of ``path`` to its place below ``target``."""
        self._run("extract", self._archive(step), within=target)

    def checkout(self, step: int, path: Path) -> None:
        with path.open("wb") as target:
            stored_name = str(self.input).lstrip("/")
            self._run("extract", "--stdout", self._archive(step), stored_name, output=target.fileno())

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.repository)

    def _archive(self, step: int) -> str:
        return f"{self.repository}::step-{step}"

    def _run(self, *arguments: str, output: int = subprocess.DEVNULL, within: Path | None = None) -> None:
        subprocess.run(["borg", *arguments], check=True, stdout=output, env=self.environment, cwd=within)
