"""An open store as the layers above see it: chunks, manifests, history, and threads to work with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.index import Progress
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.plains import Plains
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.chunkstore.view import View
from deltackpt.fs.disk import Disk
from deltackpt.history.commits import Commit, History
from deltackpt.history.manifest import Manifests
from deltackpt.history.resolve import DEFAULT_BRANCH, resolve
from deltackpt.ids import CommitId

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """How a store is worked with. Nothing here changes what is stored or how it is read back.

    ``threads`` encode and decode at once (default: the cores this process may use). ``cache_bytes`` of the last
    commit's plain chunks stay in memory as bases for the next; 0 reads each base from the store. A chunk whose
    chain would take more than ``chain_budget`` ns per plain byte to decode starts a new one.
    """

    threads: int = 0
    cache_bytes: int = 256 << 20
    chain_budget: float = 0.0

    @property
    def workers(self) -> int:
        return self.threads or _cores()


def _cores() -> int:
    """Cores that this process may use; macOS can only tell how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Repository:
    """Everything that commit, checkout, diff and maintenance work on.

    ``cache`` is where plain chunks of the last commit are found, instead of copies that are kept here.
    """

    def __init__(
        self, root: str, options: Options, progress: Progress, disk: Disk | None = None, cache: Plains | None = None
    ) -> None:
        self.options = options
        self.chunks = ChunkStore(root, disk, progress)
        self.reader = ChunkReader(self.chunks, cache or CommitPlains(options.cache_bytes))
        self.manifests = Manifests(self.reader)
        self._executor: ThreadPoolExecutor | None = None
        self._executor_pid = 0
        self._lock = threading.Lock()

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Threads for chunk work, started on first use; a forked child starts its own."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._executor is None or self._executor_pid != os.getpid():
                self._executor = ThreadPoolExecutor(self.options.workers, thread_name_prefix="deltackpt")
                self._executor_pid = os.getpid()
            return self._executor

    @property
    def ahead(self) -> int:
        """How many chunks may be under way at once."""
        return 2 * self.options.workers + 2

    def look(self, question: Callable[[History], T]) -> T:
        """Answer a question about history as of the last record in the log."""
        return self.chunks.look_now(lambda view: question(self.history(view)))

    def history(self, view: View) -> History:
        return History(view, self.manifests.object)

    def resolve(self, ref: str | Commit | CommitId) -> Commit:
        """The commit that ``ref`` names; a commit stands for itself, looked up again."""
        if isinstance(ref, Commit):
            return self.look(lambda history: history.commit(ref.id))
        if isinstance(ref, CommitId):
            return self.look(lambda history: history.commit(ref))
        return self.look(lambda history: resolve(history, ref, DEFAULT_BRANCH))

    def close(self) -> None:
        if self._executor is not None and self._executor_pid == os.getpid():
            self._executor.shutdown(wait=True)
        self._executor = None
        self.reader.close()
        self.chunks.close()
