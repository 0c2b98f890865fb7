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
from deltackpt.fs.tree import resolved

TensorsByFile = Mapping[str, Sequence[TensorSpan] | Reading | None]
"""What a description says of files, by their paths, whether or not the folder has them.

Tensors in any order, no two with the same bytes; or all of a file, read; or None: it holds tensors that it tells of
itself, or whose type nobody knows.
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder tree that is being committed; no file of it is open before it is asked for.

    ``sizes`` has the bytes of each regular file by its path: relative, with ``/`` between its steps. ``open_file``
    opens one of these for as long as a block runs. ``links`` has the text of each symbolic link by its path. Whoever
    makes a folder has dealt with devices, and with links out of it.
    """

    sizes: Mapping[str, int]
    open_file: Callable[[str], AbstractContextManager[SourceFile]]
    links: Mapping[str, str] = field(default_factory=dict)
    ordered: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ordered", tuple(sorted(self.sizes)))

    def place(self, path: str) -> str | None:
        """The regular file that ``path`` leads to, by way of links within the folder; None when there is none."""
        place = resolved(self.links, path)
        return place if place in self.sizes else None

    def beginning(self, prefix: str) -> Iterator[str]:
        """Paths that begin with ``prefix``, in order."""
        for at in range(bisect_left(self.ordered, prefix), len(self.ordered)):
            if not self.ordered[at].startswith(prefix):
                return
            yield self.ordered[at]


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """One kind of description. ``is_description`` judges a path; ``read_tensors`` reads the file at that path.

    It gives what that file says of others, or raises FormatError. Whether these are there, and the tensors fit them, is
    checked by the caller.
    """

    name: str
    is_description: Callable[[str], bool]
    read_tensors: Callable[[Folder, str], TensorsByFile]
