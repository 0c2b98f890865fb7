"""The table of folder formats, and a folder read by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from deltackpt.errors import FormatError
from deltackpt.formats.dcp.folder import DCP
from deltackpt.formats.folder import Folder, FolderFormat
from deltackpt.formats.holes import filled
from deltackpt.formats.names import DistinctNames
from deltackpt.formats.onnx.folder import ONNX_DATA
from deltackpt.formats.reading import Reading
from deltackpt.formats.shard_index import SHARD_INDEX
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.tensorflow.folder import TENSORFLOW
from deltackpt.formats.wording import shown_path
from deltackpt.formats.zarr.folder import ZARR_V2, ZARR_V3

FOLDER_FORMATS = (ONNX_DATA, TENSORFLOW, ZARR_V3, ZARR_V2, DCP, SHARD_INDEX)


@dataclass(frozen=True, slots=True)
class FolderReading:
    """What the files of a folder say of each other.

    ``files`` are those that are described, by path; the format of each is that of its description. ``refusals`` are the
    errors of descriptions that were not understood, by their paths: the files that these describe stay plain bytes.
    ``absent`` are the files that a description names and the folder lacks, by its path.
    """

    files: Mapping[str, Reading]
    refusals: Mapping[str, FormatError]
    absent: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class _Reading:
    folder: Folder
    files: dict[str, Reading] = field(default_factory=dict)
    refusals: dict[str, FormatError] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)

    def take(self, kind: FolderFormat, description: str) -> None:
        """Read one description: all that it says is taken, or none of it."""
        try:
            found = kind.read_tensors(self.folder, description)
            added: dict[str, Reading] = {}
            for path, tensors in found.items():
                place = self.folder.place(path)
                if place is not None and tensors is not None:
                    known = added.get(place, self.files.get(place))
                    added[place] = self._described(kind, place, tensors, known)
        except FormatError as error:
            self.refusals[description] = error
        else:
            self.files.update(added)
            if absent := [path for path in found if self.folder.place(path) is None]:
                self.absent[description] = absent

    def _described(
        self, kind: FolderFormat, path: str, tensors: Sequence[TensorSpan] | Reading, known: Reading | None
    ) -> Reading:
        """Two descriptions of one format may describe the same file."""
        if isinstance(tensors, Reading):
            return tensors if known is None else known
        if known is not None:
            if known.format != kind.name:
                return known
            tensors = _merged([span for span in known.spans if isinstance(span, TensorSpan)], tensors)
        ordered = sorted(tensors, key=attrgetter("offset", "length"))
        return Reading(kind.name, filled(ordered, self.folder.sizes[path], shown_path(path)))


def read_folder(folder: Folder) -> FolderReading:
    """Every description in ``folder``, read. Reads structure only.

    A file that is recognised by its own content (``sniff``) is better read by itself; nothing is lost either way.
    """
    reading = _Reading(folder)
    for kind in FOLDER_FORMATS:
        for path in folder.ordered:
            if kind.is_description(path):
                reading.take(kind, path)
    return FolderReading(reading.files, reading.refusals, reading.absent)


def _merged(known: Sequence[TensorSpan], more: Iterable[TensorSpan]) -> list[TensorSpan]:
    """Both, but for tensors whose bytes are known already: models that share a file share most of it."""
    places = {(span.offset, span.length) for span in known}
    names = DistinctNames(span.name for span in known)
    return [*known, *_renamed((span for span in more if (span.offset, span.length) not in places), names)]


def _renamed(spans: Iterable[TensorSpan], names: DistinctNames) -> Iterator[TensorSpan]:
    for span in spans:
        yield replace(span, name=names.add(span.name))
