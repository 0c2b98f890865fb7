"""A folder in which one file describes others: it names tensors, and the other files are their bytes.

A :class:`FolderFormat` reads such a description. What it finds are tensors in files that mean nothing by themselves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan

TensorsByFile = Mapping[str, Sequence[TensorSpan] | Reading]
"""Tensors by the path of the file that holds them, in any order, no two with the same bytes; or all of it, read."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder tree that is being committed; no file of it is open before it is asked for.

    ``sizes`` has the bytes of each regular file by its path: relative, with ``/`` between its steps. ``open_file``
    opens one of these for as long as a block runs. Whoever makes a folder has dealt with links and devices.
    """

    sizes: Mapping[str, int]
    open_file: Callable[[str], AbstractContextManager[SourceFile]]
    ordered: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ordered", tuple(sorted(self.sizes)))

    def beginning(self, prefix: str) -> Iterator[str]:
        """Paths that begin with ``prefix``, in order."""
        for at in range(bisect_left(self.ordered, prefix), len(self.ordered)):
            if not self.ordered[at].startswith(prefix):
                return
            yield self.ordered[at]


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """One kind of description. ``is_description`` judges a path; ``read_tensors`` reads the file at that path.

    It gives what that file says of others of the folder, or raises FormatError; files that the folder lacks are
    left out. Whether the tensors fit their files is checked by the caller.
    """

    name: str
    is_description: Callable[[str], bool]
    read_tensors: Callable[[Folder, str], TensorsByFile]
