"""Rows of the index: keys and values of its tables, beside those of chunks, which are :class:`Location`."""

from __future__ import annotations

import msgspec

from deltackpt.chunkstore.log_record import Piece
from deltackpt.ids import ChunkId

# Keys of the table ``meta``, and what keys there begin with.
APPLIED = b"applied"
STORE = b"store"
DELETIONS = b"deletions"
TAIL = b"tail"
PAST = b"past"
EPOCH = b"epoch"
OPENED = b"opened"
ORPHAN = b"orphan:"
CONDEMNED = b"condemned:"
DELETED = b"deleted:"
ANNOTATED = b"annotated:"
INLINE = b"inline:"
LEAVING = b"leaving:"
LOST = b"lost:"


class PackRow(msgspec.Struct, frozen=True, array_like=True):
    """A pack of the store: its file size, its number of records, and the log record that added it.

    ``listed`` tells whether its chunks have rows: the file of one that went later is not there to be read.
    """

    size: int
    records: int
    added: int
    listed: bool


class CommitRow(msgspec.Struct, frozen=True, array_like=True):
    """A commit: the log record that published it, what it added, and the commit object itself."""

    number: int
    stored_bytes: int
    data: bytes


decode_pack = msgspec.msgpack.Decoder(PackRow).decode
decode_commit = msgspec.msgpack.Decoder(CommitRow).decode
decode_deleted = msgspec.msgpack.Decoder(tuple[str | None, bool]).decode
decode_annotated = msgspec.msgpack.Decoder(tuple[str, float]).decode
encode = msgspec.msgpack.encode


def deleted_key(piece: Piece) -> bytes:
    # A part's name may be longer than an LMDB key, so its hash stands for it.
    return DELETED + piece.commit + (b"" if piece.part is None else ChunkId.of(piece.part.encode())[:16])


def annotated_key(commit: bytes, name: str) -> bytes:
    # A metric's name may be longer than an LMDB key, so its hash stands for it.
    return ANNOTATED + commit + ChunkId.of(name.encode())[:16]
