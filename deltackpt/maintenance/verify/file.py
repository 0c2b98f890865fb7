"""A file against the commit that it came from, or went into: every tensor, and the file as a whole.

Nothing is decoded: the file's bytes are cut where the commit's tensors are and named by their hash, and equal names
are equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from deltackpt.checkout.export import Names, exported_tensors
from deltackpt.checkout.file_form import Exported
from deltackpt.checkout.files import stored_files
from deltackpt.checkout.leaves import NamedTensor
from deltackpt.checkout.ranges import read_range, read_window
from deltackpt.errors import InvalidInputError
from deltackpt.formats.safetensors.reader import read_header
from deltackpt.formats.sniff import read_spans, sniff
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.spans import TensorSpan
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId
from deltackpt.tensor.dtype import BYTES

Progress = Callable[[int], None]
_ORIGIN = "deltackpt"


class NoOriginError(InvalidInputError):
    """A file that does not say which commit it came from."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor that is not the same in the file and in the commit, and how."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """``part`` is the one that the file holds, None for all of the commit. ``equal`` counts tensors.

    ``identical`` is None when the commit was not made from a file; else whether this is that file, byte for byte.
    """

    path: str
    commit: Commit
    part: str | None
    equal: int
    differences: tuple[Difference, ...]
    identical: bool | None

    @property
    def ok(self) -> bool:
        """Whether every tensor is equal and none is missing or too many."""
        return not self.differences


def check_file(
    repository: Repository, path: str, ref: str | Commit | CommitId | None = None, progress: Progress | None = None
) -> FileCheck:
    """Compare the file at ``path`` with the commit at ``ref``, or with the one that its header names.

    NoOriginError when neither is given. ``progress`` hears of bytes as they are compared.
    """
    with open_source(path) as file:
        spans = tensor_spans(file)
        commit = repository.resolve(_origin(file) if ref is None else ref)
        part, tensors = closest(repository, commit, spans)
        comparison = _Comparison(repository, file, progress)
        differences = tuple(Difference(name, what) for name, what in comparison.run(spans, tensors) if what)
        identical = _is_identical(repository, file, commit, tensors_equal=not differences)
        file.check_unchanged()
    return FileCheck(path, commit, part, len({*tensors, *spans}) - len(differences), differences, identical)


def tensor_spans(file: SourceFile) -> dict[str, TensorSpan]:
    """The tensors of a file by name."""
    return {span.name: span for span in read_spans(file) if isinstance(span, TensorSpan)}


def _origin(file: SourceFile) -> CommitId:
    """The commit that a checkout wrote into the file's metadata."""
    known = sniff(file)
    metadata = read_header(file).metadata if known is not None and known.name == "safetensors" else None
    try:
        return CommitId.from_hex(json.loads((metadata or {})[_ORIGIN])["commit"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NoOriginError(f"{file.name} does not say which commit it came from; name one") from None


def closest(
    repository: Repository, commit: Commit, spans: Mapping[str, TensorSpan]
) -> tuple[str | None, dict[str, Exported]]:
    """The part of the commit, or all of it, whose names are most like those in the file."""
    parts = [None, *(entry.name for entry in commit.parts if entry.name and entry.tensors)]
    candidates = [(part, _by_name(repository, commit, part, names)) for part in parts for names in get_args(Names)]
    return max(candidates, key=lambda candidate: len(candidate[1].keys() & spans.keys()))


def _by_name(repository: Repository, commit: Commit, part: str | None, names: Names) -> dict[str, Exported]:
    return {form.name: form for form in exported_tensors(repository, commit, part, names)[0]}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Compares tensors of one file with those of one commit."""

    repository: Repository
    file: SourceFile
    progress: Progress | None

    def run(self, spans: Mapping[str, TensorSpan], tensors: Mapping[str, Exported]) -> Iterator[tuple[str, str]]:
        """The difference of each name, in the order of the commit; windows last."""
        names = list({**tensors, **spans})
        # Cutting a window out fetches on all cores, for which a job on one of them would wait for ever.
        windows = [name for name in names if name in tensors and tensors[name].tensor.leaf.view is not None]
        others = [name for name in names if name not in set(windows)]
        submit = self.repository.executor.map
        yield from zip(others, submit(self._difference, map(spans.get, others), map(tensors.get, others)), strict=True)
        yield from ((name, self._difference(spans.get(name), tensors[name])) for name in windows)

    def _difference(self, span: TensorSpan | None, form: Exported | None) -> str:
        """How they differ; nothing when they are equal."""
        if span is None or form is None:
            return "is not in the file" if span is None else "is not in the commit"
        if (span.dtype, span.shape) != (form.dtype, form.shape):
            ours, theirs = (f"{t.dtype.name} {list(t.shape)}" for t in (form, span))
            return f"is {theirs} in the file and {ours} in the commit"
        unequal = []
        for start, stop, equal in self._pieces(span, form.tensor):
            if not equal:
                unequal.append(start)
            if self.progress is not None:
                self.progress(stop - start)
        return f"differs, first from its byte {unequal[0]} on" if unequal else ""

    def _pieces(self, span: TensorSpan, tensor: NamedTensor) -> Iterator[tuple[int, int, bool]]:
        """Ranges of the tensor's plain bytes, and whether they are equal."""
        stored = tensor.stored
        if tensor.leaf.view is not None:
            data = read_window(self.repository, stored, tensor.leaf.view)
            yield 0, span.length, self.file.read(span.offset, span.length) == data
        elif stored.inline is not None:
            yield 0, span.length, self.file.read(span.offset, span.length) == stored.inline
        else:
            for chunk, start, stop in stored.spans():
                piece = self.file.read(span.offset + start, stop - start)
                yield start, stop, ChunkId.of(piece) == chunk


def _is_identical(repository: Repository, file: SourceFile, commit: Commit, *, tensors_equal: bool) -> bool | None:
    """Whether the file is the one that was committed, given that its tensors are; None when none was committed."""
    files = stored_files(repository, commit)
    if files is None or files.is_folder:
        return None
    at = 0
    for piece in files.pieces(files.entries[0]):
        literal = piece if isinstance(piece, bytes) else _bytes_of(repository, piece)
        if literal is not None:
            if at + len(literal) > file.size or file.read(at, len(literal)) != literal:
                return False
            at += len(literal)
        elif isinstance(piece, StoredTensor):
            at += piece.nbytes
    return tensors_equal and at == file.size


def _bytes_of(repository: Repository, stored: StoredTensor) -> bytes | None:
    """Bytes of the file that are no tensor; None for a tensor."""
    return bytes(read_range(repository, stored, 0, stored.nbytes)) if stored.dtype is BYTES else None
