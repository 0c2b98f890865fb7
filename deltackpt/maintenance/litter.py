"""Files in a store's folder that belong to nothing: of writers that crashed, and of packs that are gone."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.layout import is_retired, pack_named
from deltackpt.errors import StorageError
from deltackpt.fs.lock import is_held
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.shelf import parity_files, unfinished
from deltackpt.maintenance.survey import Survey

SPARED_SECONDS = 3600.0
"""Younger files may be those of a writer at work: sparing it the work of starting over is all that this is for."""


@dataclass(frozen=True, slots=True)
class Litter:
    """What lies in the folder of ``store``, as ``survey`` sees it."""

    store: ChunkStore
    survey: Survey

    def orphans(self) -> list[PackId]:
        """Finished packs that no record names, unless they are so young that their writer may still be at work."""
        found = []
        for pack, path in self._pack_files():
            young = _age(path) < SPARED_SECONDS
            if pack not in self.survey.published and pack not in self.survey.finished and not young:
                found.append(pack)
        return sorted(found) if self.store.writable else []

    def leftovers(self) -> list[str]:
        """Files of packs that are gone, their parity, and what others left who crashed.

        Records of the log are none, though a segment may hold them, too: without its records an epoch's folder would
        look as though the next one were still to be written there. They go with the folder, see :meth:`Log.sweep`.
        """
        layout, disk = self.store.layout, self.store.disk
        files = [path for pack, path in self._pack_files() if pack in self.survey.finished]
        left = self.survey.finished | self.survey.quarantined
        files += [path for pack, path in parity_files(disk, layout) if pack in left]
        files += unfinished(disk, layout)
        abandoned = [os.path.join(layout.tmp, name) for name in disk.names(layout.tmp) if not is_retired(name)]
        files += [path for path in abandoned if not is_held(path)]
        staged = [os.path.join(layout.log, name) for name in disk.names(layout.log) if name.startswith(".")]
        return files + [path for path in staged if _age(path) >= SPARED_SECONDS]

    def unlink(self, paths: Collection[str]) -> None:
        """Remove files, and make sure that they stay away."""
        for path in paths:
            self.store.disk.unlink(path)
        for folder in {os.path.dirname(path) for path in paths}:
            self.store.disk.sync_directory(folder)

    def size(self, path: str) -> int:
        """Bytes of a file; 0 when it is not there."""
        try:
            return self.store.disk.size(path)
        except (FileNotFoundError, StorageError):
            return 0

    def _pack_files(self) -> list[tuple[PackId, str]]:
        layout, disk = self.store.layout, self.store.disk
        shelves = [os.path.join(layout.packs, name) for name in disk.names(layout.packs)]
        names = [(pack_named(name), os.path.join(shelf, name)) for shelf in shelves for name in disk.names(shelf)]
        return [(pack, path) for pack, path in names if pack is not None]


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
