"""A file for a reader that looks at many small things close together, such as the headers of archives in a row.

Asking the system for fifty bytes costs as much as asking for thousands: so what lies around a piece is kept for the
next one. A few places are kept, since the directory of an archive is at its end and leads back to its start, which lies
at the end of the archive before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Self

from deltackpt.formats.source_file import SourceFile

_AROUND = 4096
_LONGEST_KEPT = 1024
_PLACES = 3


@dataclass(frozen=True, slots=True)
class BufferedFile(SourceFile):
    """A file with the bytes around the last short pieces at hand; for one thread."""

    _kept: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=_PLACES), init=False, repr=False)

    @classmethod
    def over(cls, file: SourceFile) -> Self:
        return cls(file.lend, file.size, file.modified_ns, file.mode, file.name)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes at ``offset``, as they were when the bytes around them were read."""
        if length > _LONGEST_KEPT:
            return SourceFile.read(self, offset, length)
        for start, held in self._kept:
            if start <= offset and offset + length <= start + len(held):
                return held[offset - start : offset - start + length]
        start = max(0, offset - _AROUND)
        held = self._pread(start, min(self.size, offset + length + _AROUND) - start)
        if offset + length > start + len(held):
            return SourceFile.read(self, offset, length)
        self._kept.append((start, held))
        return held[offset - start : offset - start + length]
