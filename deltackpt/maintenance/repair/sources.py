"""Where lost chunks may be had again: another store, or a file that holds tensors. Whatever they give is hashed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Protocol

from deltackpt.chunkstore.record import Kind
from deltackpt.errors import CorruptError, InvalidInputError, NotFoundError
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.history.repository import Options, Repository
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.verify.file import closest, tensor_spans
from deltackpt.tensor.dtype import Element


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk's plain bytes, hashed, and what they are made of."""

    chunk: ChunkId
    plain: bytes
    element: Element
    kind: Kind = Kind.DATA


class Source(Protocol):
    """Something that may have copies of lost chunks."""

    name: str

    def find(self, wanted: Set[ChunkId], commits: Iterable[CommitId]) -> Iterator[Found]:
        """Those of ``wanted`` that are there. ``commits`` are those that lack them."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class OtherStore:
    """Chunks of another store, by their id."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._repository = Repository(path, Options(), lambda done, total: None)

    def find(self, wanted: Set[ChunkId], commits: Iterable[CommitId]) -> Iterator[Found]:
        known = self._repository.chunks.look_now(lambda view: {c: view.chunk(c) for c in sorted(wanted)})
        for chunk, place in known.items():
            if place is None:
                continue
            try:
                plain = bytes(self._repository.reader.read(chunk))
            except (CorruptError, NotFoundError):
                continue
            yield Found(chunk, plain, Element(place.element), place.kind)

    def close(self) -> None:
        self._repository.close()


class TensorFile:
    """Chunks of the tensors in a file, found as ``verify FILE`` finds them: by the names of a commit's tensors."""

    def __init__(self, repository: Repository, path: str) -> None:
        self.name = path
        self._repository = repository

    def find(self, wanted: Set[ChunkId], commits: Iterable[CommitId]) -> Iterator[Found]:
        missing = set(wanted)
        with open_source(self.name) as file:
            for commit in commits:
                if not missing:
                    break
                try:
                    found = list(self._of_commit(file, missing, commit))
                except (CorruptError, NotFoundError):
                    # What the commit holds is not known any more, so neither is where that would be in the file.
                    continue
                missing -= {one.chunk for one in found}
                yield from found
            file.check_unchanged()

    def _of_commit(self, file: SourceFile, missing: Set[ChunkId], commit: CommitId) -> Iterator[Found]:
        spans = tensor_spans(file)
        _, tensors = closest(self._repository, self._repository.resolve(commit), spans)
        for name, form in tensors.items():
            span = spans.get(name)
            alike = span is not None and (span.dtype, span.shape) == (form.dtype, form.shape)
            if span is None or not alike or form.tensor.leaf.view is not None:
                continue
            for chunk, start, stop in form.tensor.stored.spans():
                if (
                    chunk in missing
                    and ChunkId.of(plain := bytes(file.read(span.offset + start, stop - start))) == chunk
                ):
                    yield Found(chunk, plain, form.dtype.element)

    def close(self) -> None:
        """Nothing is held open."""


def open_sources(repository: Repository, paths: Iterable[str]) -> Iterator[Source]:
    """What is at each path: a folder is a store. InvalidInputError when it is the one that is repaired, or nothing."""
    for path in paths:
        if not os.path.exists(path):
            raise InvalidInputError(f"there is nothing at {path!r}; name another store, or a file with tensors")
        if not os.path.isdir(path):
            yield TensorFile(repository, path)
        elif os.path.samefile(path, repository.chunks.layout.root):
            raise InvalidInputError(f"{path!r} is the store that is being repaired; name another copy")
        else:
            yield OtherStore(path)
