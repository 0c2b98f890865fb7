"""The entries of an archive that PyTorch wrote, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.zips import Archive, Entry

_MAIN = "data.pkl"
_CONSTANTS = "constants.pkl"


@dataclass(frozen=True, slots=True)
class Entries:
    """``by_name`` are the entries by their names below ``stem``, the folder that all of them share.

    ``main`` is the pickle of the saved object, ``constants`` the second one that only TorchScript has.
    """

    stem: str
    by_name: Mapping[str, Entry]
    main: Entry
    constants: Entry | None

    @classmethod
    def of(cls, archive: Archive) -> Entries | None:
        """None for an archive that PyTorch did not write."""
        first = archive.entries[0].name if archive.entries else ""
        stem = first[: first.find("/") + 1]
        named = {entry.name.removeprefix(stem): entry for entry in archive.entries if entry.name.startswith(stem)}
        main = named.get(_MAIN)
        return None if main is None else cls(stem, named, main, named.get(_CONSTANTS))

    def pickles(self, top: Step | None) -> Iterator[tuple[str, Entry, Step | None]]:
        """Each pickle: the folder of its storages, its entry, and where its tensors' names begin, below ``top``."""
        yield "data", self.main, top
        if self.constants is not None:
            yield "constants", self.constants, Step(top, "constants")
