"""The objects that make up history, as they are stored: msgpack arrays, named by the hash of their bytes.

    commit -> parts -> groups -> chunks
                    -> skeleton
                    -> files
              group -> layout

What rarely changes (names, types, shapes) stands in layouts, what always changes (chunk ids) in groups, so a
layout is stored once for a run, and a group whose tensors did not change is shared with the parent commit.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from math import prod
from typing import Annotated, Any, TypeVar

import msgspec

from deltackpt.chunking.grid import Grid
from deltackpt.errors import CorruptError
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DType, dtype_named

INLINE_BYTES = 256
ID_SIZE = ChunkId.size
Identity = Annotated[bytes, msgspec.Meta(min_length=ID_SIZE, max_length=ID_SIZE)]
"""The id of an object; one of another length is refused when it is read."""


class EntryKind(enum.IntEnum):
    """What an entry of a files skeleton is. The numbers are on disk: never reuse or renumber one."""

    FILE = 0
    FOLDER = 1
    LINK = 2


class TensorLayout(msgspec.Struct, frozen=True, array_like=True):
    """A tensor's fixed facts. ``period`` and ``piece`` are its chunk grid.

    Both 0: its bytes stand in the group. ``period`` alone 0: it is cut by its content, and the lengths of its chunks
    stand there.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    period: int
    piece: int

    @property
    def type(self) -> DType:
        return dtype_named(self.dtype)

    @property
    def nbytes(self) -> int:
        return self.type.itemsize * prod(self.shape)

    @property
    def inline(self) -> bool:
        return not self.piece

    @property
    def by_content(self) -> bool:
        return not self.period and bool(self.piece)

    @property
    def grid(self) -> Grid:
        """Of a tensor that has one."""
        return Grid(self.period, self.piece)


class GroupLayout(msgspec.Struct, frozen=True, array_like=True, tag="layout"):
    tensors: tuple[TensorLayout, ...]


class Group(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """Contents of the tensors of one layout.

    ``chunks`` are chunk ids one after another, tensor by tensor; ``inline`` the bytes of the inline tensors;
    ``nonfinite`` pairs (position in the layout, Finiteness) of those that are not finite; ``lengths`` the bytes of each
    chunk of those that are cut by their content.
    """

    layout: Identity
    chunks: bytes
    inline: tuple[bytes, ...] = ()
    nonfinite: tuple[tuple[int, int], ...] = ()
    lengths: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.chunks) % ID_SIZE:
            raise ValueError(f"{len(self.chunks)} bytes are no whole number of chunk ids")


class Part(msgspec.Struct, frozen=True, array_like=True, tag="part"):
    """A part. ``skeleton`` is that of its state; ``files``, empty for none, the files skeleton."""

    skeleton: bytes
    files: bytes
    groups: tuple[Identity, ...]

    def __post_init__(self) -> None:
        _require_ids_or_nothing(self.skeleton, self.files)

    @property
    def skeletons(self) -> tuple[ChunkId, ...]:
        """Ids of the skeletons that there are."""
        return tuple(ChunkId(identity) for identity in (self.skeleton, self.files) if identity)


Span = bytes | int | tuple[str, int]
"""Literal bytes; or a tensor: its position in the part's own table, or in that of the part that is named."""


Note = str | tuple[str, str]
"""What of a file was not understood: a text about all of it, or what stands there under a complete name."""


class FileEntry(msgspec.Struct, frozen=True, array_like=True):
    """A file, a folder or a symbolic link. ``path`` is relative and as the system has it, empty for the root itself.

    ``spans`` are a file's bytes in order, or a link's text. ``format`` is what a file was read as, ``notes`` what of it
    was not understood. ``key`` is where its state stands in that of the part: nil for none, empty for the top level.
    """

    path: bytes
    kind: int
    mode: int
    mtime_ns: int
    spans: tuple[Span, ...] = ()
    format: str = ""
    notes: tuple[Note, ...] = ()
    key: str | None = None


class FilesSkeleton(msgspec.Struct, frozen=True, array_like=True, tag="files"):
    """Files around their tensors. ``name`` is what the file or folder was called when it was committed."""

    name: bytes
    entries: tuple[FileEntry, ...]


class PartEntry(msgspec.Struct, frozen=True, array_like=True):
    """A part as a commit lists it. ``nbytes`` are the plain bytes of its table, ``untyped`` those of no tensor."""

    name: str
    id: Identity
    tensors: int
    nbytes: int
    untyped: int = 0


class CommitObject(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    """A commit. ``environment``, ``config`` and ``meta`` are ids of stored objects, or empty."""

    parents: tuple[Identity, ...]
    branch: str
    step: int | None
    time_ns: int
    metrics: dict[str, float]
    message: str
    parts: tuple[PartEntry, ...]
    nonfinite: tuple[str, ...]
    healthy: bool
    environment: bytes = b""
    config: bytes = b""
    meta: bytes = b""

    def __post_init__(self) -> None:
        _require_ids_or_nothing(self.environment, self.config, self.meta)


def _require_ids_or_nothing(*identities: bytes) -> None:
    if any(len(identity) not in (0, ID_SIZE) for identity in identities):
        raise ValueError(f"an id is {ID_SIZE} bytes, or none where there is nothing")


T = TypeVar("T", bound=msgspec.Struct)


# Identities are bytes with a face of their own, which msgpack does not know.
_encoder = msgspec.msgpack.Encoder(order="deterministic", enc_hook=bytes)
# No order here: it would refuse keys that are no strings, such as the milestones of a schedule.
_free_form_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


class ObjectCorruptError(CorruptError):
    """A manifest object is not what its place says it is."""


def encode(value: object) -> bytes:
    """The bytes of an object."""
    return _encoder.encode(value)


def encode_free_form(value: object) -> bytes:
    """The bytes of plain data: dicts, lists, texts, numbers and times."""
    return _free_form_encoder.encode(value)


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """An object of ``kind``; ObjectCorruptError when the bytes are something else."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ObjectCorruptError(f"a manifest object is no {kind.__name__} ({error}); run `deltackpt verify`") from None


def split_chunks(chunks: bytes) -> Iterator[ChunkId]:
    """Chunk ids of a group's ``chunks``."""
    for at in range(0, len(chunks), ID_SIZE):
        yield ChunkId(chunks[at : at + ID_SIZE])
