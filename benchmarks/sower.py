"""Commits by the ten thousand: each is what an ordinary one leaves behind, made without a state and without waiting.

A commit that was made in the ordinary way is the model. Each further one has new bytes in all its chunks, encoded as
they would be; its own groups, part and commit object; and a log record that the store's own transaction publishes. It
saves what does not show in the store: walking a state, looking for bases, and every sync.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

import msgspec
import numpy as np

from deltackpt.chunkstore.encoder import encode_record
from deltackpt.chunkstore.log_record import RefMove
from deltackpt.chunkstore.record import Kind, Member
from deltackpt.chunkstore.transaction import Decision, Transaction
from deltackpt.codec.encode import DEFAULT_BUDGET
from deltackpt.fs.disk import Disk
from deltackpt.history.commits import Commit
from deltackpt.history.objects import CommitObject, Group, Part, PartEntry, decode, encode
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Options, Repository
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.archive import archive_when_long
from deltackpt.tensor.dtype import dtype_named


class HastyDisk(Disk):
    """Waits for nothing: a store that is made on it would not outlive a power loss."""

    def sync(self, fd: int, path: str) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass


def sow(path: str, count: int) -> None:
    """Add so many commits to ``main``, whose newest commit is the model: float32 tensors of one chunk, in one part."""
    repository = Repository(path, Options(), lambda done, total: None, HastyDisk())
    try:
        sower = _Sower(repository, repository.resolve("main"))
        for _ in range(count):
            sower.commit()
            archive_when_long(repository)
    finally:
        repository.close()


class _Sower:
    def __init__(self, repository: Repository, model: Commit) -> None:
        self._repository = repository
        self._rng = np.random.default_rng(model.step or 0)
        self._object: CommitObject = model._object
        self._head = model.id
        (self._entry,) = model.parts
        self._part = decode(repository.manifests.object(self._entry.id), Part)
        self._groups = [decode(repository.manifests.object(group), Group) for group in self._part.groups]
        self._chunks = sum(len(group.chunks) for group in self._groups) // ChunkId.size

    def commit(self) -> None:
        size = self._entry.nbytes // self._chunks
        plain = memoryview(self._rng.random(self._entry.nbytes // 4, np.float32).tobytes())
        pieces = [plain[at : at + size] for at in range(0, len(plain), size)]
        chunks = iter([ChunkId.of(piece) for piece in pieces])
        groups = [
            msgspec.structs.replace(group, chunks=b"".join(islice(chunks, len(group.chunks) // ChunkId.size)))
            for group in self._groups
        ]
        with Transaction(self._repository.chunks, self._repository.reader) as transaction:
            _put(transaction, Kind.DATA, "float32", pieces)
            entry = _put_objects(transaction, self._part, groups, self._entry)
            transaction.refer(map(ChunkId, (*self._part.skeletons, *(group.layout for group in groups))))
            self._publish(transaction, entry)

    def _publish(self, transaction: Transaction, entry: PartEntry) -> None:
        self._object = msgspec.structs.replace(
            self._object,
            parents=(self._head,),
            step=(self._object.step or 0) + 1,
            time_ns=time.time_ns(),
            parts=(entry,),
        )
        data = encode(self._object)
        old, self._head = self._head, CommitId(ChunkId.of(data))
        move = RefMove(Branch("main").key, old, self._head)
        transaction.publish(lambda view: Decision("commit", (move,), (data,)))


def _put_objects(transaction: Transaction, part: Part, groups: Sequence[Group], entry: PartEntry) -> PartEntry:
    written = [encode(group) for group in groups]
    part = msgspec.structs.replace(part, groups=tuple(map(ChunkId.of, written)))
    written.append(encode(part))
    _put(transaction, Kind.OBJECT, "uint8", [memoryview(data) for data in written])
    return msgspec.structs.replace(entry, id=ChunkId.of(written[-1]))


def _put(transaction: Transaction, kind: Kind, dtype: str, pieces: Sequence[memoryview]) -> None:
    members = tuple(Member(ChunkId.of(piece), len(piece)) for piece in pieces)
    plain = memoryview(b"".join(pieces))
    transaction.put(*encode_record(kind, dtype_named(dtype).element, members, plain, [], DEFAULT_BUDGET))
