"""Damaged log records, and segments: each gets a substitute under its number; the damaged file is kept in quarantine.

A substitute is written whole and durable before it takes the place of a file by ``rename``, and the damaged file has a
second name in quarantine by then. A record that is missing, with nothing in its place, is published as any other is:
by ``link``, so that nobody's record is ever replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from deltackpt.chunkstore.log_record import Published, encode
from deltackpt.errors import ConflictError, CorruptError, StorageError
from deltackpt.history.objects import CommitObject, decode
from deltackpt.ids import ChunkId, CommitId, EpochId
from deltackpt.maintenance.repair.evidence import Evidence
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import keep_copy
from deltackpt.maintenance.repair.substitute import Substitutes
from deltackpt.maintenance.verify.report import Affected, Problem

RESTORE = "another copy of this store may have them"


@dataclass(frozen=True, slots=True)
class LogRepair:
    """What is to be written: records that stand in folders, and whole segments."""

    evidence: Evidence
    substitutes: Substitutes

    @property
    def needed(self) -> bool:
        return bool(self.evidence.missing or self.evidence.mislabelled or self.evidence.bad_segments)

    def mends(self) -> Iterator[Mend]:
        """What is to be done, in its order."""
        for last, epoch in self.evidence.bad_segments:
            path = self.evidence.layout.segment(epoch, last)
            yield Mend(f"segment {path!r} of the log is damaged", "written anew with what is sound", path)
        for number, published in self.substitutes.records.items():
            path = self._path(published)
            there = os.path.exists(path) and not path.endswith(".seg")
            what = f"log record {number} ({path}) is {'damaged' if there else 'missing'}"
            if number in self.evidence.mislabelled:
                yield Mend(what, "written anew: nothing but its first bytes is damaged", path)
                continue
            yield Mend(what, f"replaced by a substitute: {_told(published)}", path if there else "")

    def losses(self) -> tuple[Problem, ...]:
        """Commits that nobody knows any more."""
        unknown = tuple(Affected(commit, None, None) for commit in sorted(self.substitutes.unknown))
        if not unknown or not self.needed:
            return ()
        return (Problem(f"{len(unknown)} commits are named in the log and not known any more", RESTORE, unknown),)

    def execute(self) -> None:
        """Do it. May be interrupted anywhere: the next repair takes up what is left."""
        for last, epoch in self.evidence.bad_segments:
            self._rewrite(last, epoch)
        for published in self.substitutes.records.values():
            if not self._segment_of(published.number, published.epoch):
                self._replace(published)
        disk, layout = self.evidence.disk, self.evidence.layout
        end = self._record(self.evidence.last).position if self.evidence.last else self.evidence.log.start
        disk.make_directory(layout.epoch(end.epoch))
        disk.sync_directory(layout.log)

    def _record(self, number: int) -> Published:
        return self.evidence.sound.get(number) or self.substitutes.records[number]

    def _segment_of(self, number: int, epoch: EpochId) -> bool:
        return any(epoch == named and number <= last for last, named in self.evidence.log.segments())

    def _path(self, published: Published) -> str:
        layout = self.evidence.layout
        for last, epoch in self.evidence.log.segments():
            if epoch == published.epoch:
                return layout.segment(epoch, last)
        return layout.record(published.epoch, published.number)

    def _rewrite(self, last: int, epoch: EpochId) -> None:
        layout = self.evidence.layout
        records = [r for r in map(self._record, range(1, last + 1)) if r.epoch == epoch]
        data = b"".join(encode(published.number, published.record) for published in records)
        path = layout.segment(epoch, last)
        staged = self._stage(layout.tmp, f"{os.urandom(8).hex()}.seg", data)
        keep_copy(self.evidence.disk, layout, path, os.path.basename(path))
        self.evidence.disk.rename(staged, path)
        self.evidence.disk.sync_directory(layout.segments)

    def _replace(self, published: Published) -> None:
        disk, layout = self.evidence.disk, self.evidence.layout
        folder, path = layout.epoch(published.epoch), layout.record(published.epoch, published.number)
        if self._is_sound(published):
            return
        disk.make_directory(folder)
        disk.sync_directory(layout.log)
        data = encode(published.number, published.record, published.inline)
        staged = self._stage(layout.log, f".{os.urandom(16).hex()}.tmp", data)
        if disk.exists(path):
            keep_copy(disk, layout, path, f"{published.number:016d}-{published.epoch}.rec")
            disk.rename(staged, path)
        else:
            try:
                # Whoever has read the record that was here learns by this name that there is another.
                keep_copy(disk, layout, staged, f"{published.number:016d}-{published.epoch}.rec.missing")
                disk.link(staged, path)
            except FileExistsError:
                raise ConflictError(
                    f"log record {published.number} was published meanwhile; run `deltackpt repair` again"
                ) from None
            finally:
                with suppress(StorageError):
                    disk.unlink(staged)
        disk.sync_directory(folder)

    def _is_sound(self, published: Published) -> bool:
        """Whether the record is there by now: another repair was faster, or a disk has come to its senses."""
        with suppress(CorruptError):
            return self.evidence.log.read(published.epoch, published.number) is not None
        return False

    def _stage(self, folder: str, name: str, data: bytes) -> str:
        disk, path = self.evidence.disk, os.path.join(folder, name)
        disk.make_directory(folder)
        fd = disk.create(path)
        try:
            disk.write(fd, [data], path)
            disk.sync(fd, path)
        except BaseException:
            with suppress(StorageError):
                disk.unlink(path)
            raise
        finally:
            disk.close(fd, path)
        return path


def _told(published: Published) -> str:
    """What is known of a record, for people."""
    record = published.record
    steps = [decode(commit.data, CommitObject).step for commit in record.commits]
    ids = [CommitId(ChunkId.of(commit.data)).short for commit in record.commits]
    told = [f"commit {i}" + ("" if s is None else f" (step {s})") for i, s in zip(ids, steps, strict=True)]
    told += [move.name for move in record.refs]
    return ", ".join([*told, f"{len(record.packs)} packs"])
