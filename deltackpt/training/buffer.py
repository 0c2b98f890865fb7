"""Host memory for snapshots: anonymous, reused, and handed to another process by its file descriptor.

A memory file has no name, so nothing is left behind however its owners end, and a small ``/dev/shm`` does not matter.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading

_POPULATE_WRITE = 23


class Buffer:
    """``size`` bytes, as a writable ``view``. With ``shared``, ``fd`` is what another process maps; else None."""

    def __init__(self, number: int, size: int, *, shared: bool) -> None:
        self.number = number
        self.size = max(size, mmap.PAGESIZE)
        self.fd = os.memfd_create("deltackpt-snapshot", os.MFD_CLOEXEC) if shared else None
        if self.fd is not None:
            os.ftruncate(self.fd, self.size)
        self._map = mmap.mmap(-1 if self.fd is None else self.fd, self.size)
        self.view = memoryview(self._map)

    def populate(self) -> None:
        """Take all pages now: the first write to each costs several times the copy. Other threads run meanwhile."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        # Kernels before 5.14 refuse; then the first snapshot takes the pages.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(self.size), _POPULATE_WRITE)

    def populate_aside(self) -> threading.Thread:
        """The same in a thread of its own."""
        thread = threading.Thread(target=self.populate, name="deltackpt-populate", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Give the descriptor back; the memory goes with the last view of it."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
