"""The log: numbered, checksummed, create-only records. It holds the truth.

A record is published by giving a finished, synced file the next free number with ``link``, which fails when
the number is taken. Whoever loses that race catches up and decides again.

Records stand in *epochs*, each in a folder of its own with a random name. A record that seals an epoch names the next.
A sealed epoch is archived: its records are written to one *segment* file, and then the folder goes. A writer that
slept meanwhile finds the number taken or the folder gone, never a free number, as no folder's name is used twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from deltackpt.chunkstore.layout import Layout, epoch_named, is_retired, record_number, segment_named
from deltackpt.chunkstore.log_record import (
    MAX_RECORD_BYTES,
    LogRecord,
    Position,
    Published,
    damaged,
    decode,
    decode_segment,
    encode,
)
from deltackpt.errors import DeltackptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.ids import EpochId

MAX_SEGMENT_BYTES = 1 << 32


class UnknownOutcomeError(StorageError):
    """The record may have been published, but something failed that follows: look at the log before retrying."""


class Log:
    """The records of one store, of which ``first`` is the first epoch."""

    def __init__(self, disk: Disk, layout: Layout, first: EpochId) -> None:
        self._disk = disk
        self._layout = layout
        self.start = Position(0, first)

    def has_news(self, position: Position) -> bool:
        """Whether there is a record after ``position``."""
        path = self._layout.record(position.epoch, position.number + 1)
        return self._disk.exists(path) or not self._disk.exists(self._layout.epoch(position.epoch))

    def after(self, position: Position, *, settled: bool = False) -> Iterator[Published]:
        """Every record after ``position``, in order; LogCorruptError when one is damaged or missing.

        With ``settled`` each is durable before it is yielded. Another writer's record can be seen before its name is
        durable, and what is done because of it must not survive a power loss that the record does not.
        """
        while True:
            found = self._in_epoch(position, settled)
            if found is None:
                found = iter(self._archived(position))
            begun = position
            for published in found:
                yield published
                position = published.position
            if position.epoch == begun.epoch:
                return

    def every(self) -> Iterator[Published]:
        """Every record there is; LogCorruptError when one is damaged, or missing anywhere before the last."""
        position = self.start
        for published in self.after(position):
            yield published
            position = published.position
        if position.number < (last := self.length()):
            path = self._layout.record(position.epoch, position.number + 1)
            raise damaged(position.number + 1, path, f"missing, though record {last} exists")

    def faults(self) -> Iterator[DeltackptError]:
        """What is wrong with each record and segment that can be found, and with a record that is missing."""
        # First the folders: an epoch that is archived meanwhile has its segment before its folder goes.
        standing, last = self._in_folders(), 0
        for end, epoch in self.segments():
            try:
                self.segment(end, epoch)
            except DeltackptError as error:
                yield error
            last = end
        for number, epoch in standing:
            if last < number - 1:
                path = self._layout.record(epoch, last + 1)
                yield damaged(last + 1, path, f"missing, though record {number} exists")
            try:
                self.read(epoch, number)
            except DeltackptError as error:
                yield error
            last = max(last, number)

    def _in_folders(self) -> list[tuple[int, EpochId]]:
        """Number and epoch of each record that stands in a folder, in order."""
        epochs = filter(None, map(epoch_named, self._disk.names(self._layout.log)))
        return sorted((number, epoch) for epoch in epochs for number in self.numbers(epoch))

    def latest_first(self) -> Iterator[Published]:
        """Every record, the newest first."""
        yield from reversed(list(self.after(self.archived())))
        for last, epoch in reversed(self.segments()):
            yield from reversed(self.segment(last, epoch))

    def read(self, epoch: EpochId, number: int) -> Published | None:
        """The record in the folder of its epoch; None when it is not there."""
        path = self._layout.record(epoch, number)
        try:
            data = self._disk.read(path, MAX_RECORD_BYTES)
        except FileNotFoundError:
            return None
        return decode(data, number, epoch, path)

    def find(self, position: Position) -> Published | None:
        """The record that ``position`` comes after, wherever it stands; None when it is nowhere."""
        number = position.number
        folders = [position.epoch, *filter(None, map(epoch_named, self._disk.names(self._layout.log)))]
        for epoch in folders:
            if (published := self.read(epoch, number)) is not None:
                return published
        last, epoch = next(((last, epoch) for last, epoch in self.segments() if last >= number), (0, position.epoch))
        return next((p for p in self.segment(last, epoch) if p.number == number), None) if last else None

    def segments(self) -> list[tuple[int, EpochId]]:
        """The last number and the epoch of each segment, in order."""
        return sorted(filter(None, map(segment_named, self._disk.names(self._layout.segments))))

    def archived(self) -> Position:
        """The place after the last segment."""
        found = self.segments()
        return self.segment(*found[-1])[-1].position if found else self.start

    def segment(self, last: int, epoch: EpochId) -> list[Published]:
        """The records of an archived epoch."""
        path = self._layout.segment(epoch, last)
        try:
            return decode_segment(self._disk.read(path, MAX_SEGMENT_BYTES), last, epoch, path)
        except FileNotFoundError:
            raise damaged(last, path, "missing") from None

    def numbers(self, epoch: EpochId) -> list[int]:
        """The numbers of the records in an epoch's folder, ascending."""
        names = self._disk.names(self._layout.epoch(epoch))
        return sorted(number for name in names if (number := record_number(name)) is not None)

    def length(self) -> int:
        """The number of the last record there is, as far as names tell."""
        return max([0, *(last for last, _ in self.segments()), *(number for number, _ in self._in_folders())])

    def size(self) -> int:
        """Bytes of all records and segments."""
        while True:
            records = [self._layout.record(epoch, number) for number, epoch in self._in_folders()]
            segments = [self._layout.segment(epoch, last) for last, epoch in self.segments()]
            # Somebody else may archive an epoch in between; then it counts as a segment.
            with contextlib.suppress(FileNotFoundError):
                return sum(map(self._disk.size, records)) + sum(map(self._disk.size, segments))

    def check(self, position: Position) -> None:
        """LogCorruptError when a record after ``position`` is missing though a later one is there, or the epoch is."""
        numbers = [number for number in self.numbers(position.epoch) if number > position.number]
        for expected, number in enumerate(numbers, position.number + 1):
            if number != expected:
                path = self._layout.record(position.epoch, expected)
                raise damaged(expected, path, f"missing, though record {numbers[-1]} exists")
        if not self._disk.exists(self._layout.epoch(position.epoch)):
            self._archived(position)

    def settle(self, position: Position) -> None:
        """Make every record after ``position`` durable that is there now."""
        for _ in self.after(position, settled=True):
            pass

    def append(self, position: Position, record: LogRecord, inline: bytes = b"") -> bool:
        """Publish ``record`` as the one after ``position`` if that is free: the commit point. False when it is not.

        True means durable: the file was synced before it got its number, the directory after. UnknownOutcomeError
        when the record may have its number but that could not be made sure; any other error: it has none.
        """
        number = position.number + 1
        staged = os.path.join(self._layout.log, f".{record.write_id.hex()}.tmp")
        self._stage(staged, encode(number, record, inline))
        try:
            if not self._claim(staged, position, record.write_id):
                return False
            try:
                self._disk.sync_directory(self._layout.epoch(position.epoch))
            except FileNotFoundError:
                # The epoch is gone: archived by somebody who had seen the record, or before there was one.
                return self._is_ours(position, record.write_id)
            except StorageError as error:
                raise UnknownOutcomeError(
                    f"record {number} was published but not made durable: {error}; run `deltackpt log`"
                ) from error
        finally:
            # The outcome is settled; a name that stays behind is swept by a later gc.
            with contextlib.suppress(StorageError):
                self._disk.unlink(staged)
        return True

    def archive(self, records: Sequence[Published]) -> None:
        """Write a whole sealed epoch to a segment and remove its folder. Its inline bytes must be needed no more.

        May be interrupted anywhere and done by several at once: the segment is the same whoever writes it.
        """
        last = records[-1]
        path = self._layout.segment(last.epoch, last.number)
        staged = os.path.join(self._layout.tmp, f"{os.urandom(8).hex()}.seg")
        for folder in (self._layout.tmp, self._layout.segments):
            self._bring_back(folder)
        self._stage(staged, b"".join(encode(published.number, published.record) for published in records))
        try:
            with contextlib.suppress(FileExistsError):
                self._disk.link(staged, path)
        finally:
            self._disk.unlink(staged)
        self._disk.sync_directory(self._layout.segments)
        self.segment(last.number, last.epoch)
        self.retire(last.epoch)

    def _bring_back(self, folder: str) -> None:
        """Make a folder that a copy of the store has lost, as many tools copy no empty ones."""
        if not self._disk.exists(folder):
            self._disk.make_directory(folder)
            self._disk.sync_directory(self._layout.root)

    def retire(self, epoch: EpochId) -> None:
        """Remove the folder of an epoch that a segment holds: first its name, durably, then its files."""
        retired = self._layout.retired(epoch)
        with contextlib.suppress(FileNotFoundError):
            self._disk.rename(self._layout.epoch(epoch), retired)
        self._disk.sync_directory(self._layout.log)
        self._remove(retired)

    def leftovers(self) -> list[str]:
        """Files of archived epochs that were not removed to the end; :meth:`sweep` removes them."""
        folders = [*self._retired(), *map(self._layout.epoch, self._unretired())]
        return [os.path.join(folder, name) for folder in folders for name in self._disk.names(folder)]

    def sweep(self) -> None:
        """Remove the folders of archived epochs that an interrupted :meth:`archive` left."""
        for folder in self._retired():
            self._remove(folder)
        unretired = self._unretired()
        if unretired:
            # Whoever wrote the segment may have ended, or failed, before its name was durable.
            self._disk.sync_directory(self._layout.segments)
        for epoch in unretired:
            self.retire(epoch)

    def _retired(self) -> list[str]:
        names = self._disk.names(self._layout.tmp)
        return [os.path.join(self._layout.tmp, name) for name in names if is_retired(name)]

    def _unretired(self) -> list[EpochId]:
        """Epochs that a segment holds whose folders are still in place."""
        return [epoch for _, epoch in self.segments() if self._disk.exists(self._layout.epoch(epoch))]

    def _remove(self, retired: str) -> None:
        for name in self._disk.names(retired):
            self._disk.unlink(os.path.join(retired, name))
        self._disk.remove_directory(retired)

    def _in_epoch(self, position: Position, settled: bool) -> Iterator[Published] | None:
        """Records after ``position`` in the folder of its epoch; None when the folder is gone."""
        folder = self._layout.epoch(position.epoch)
        first = position.number + 1
        if not self._disk.exists(self._layout.record(position.epoch, first)):
            return iter(()) if self._disk.exists(folder) else None
        last: int | None = None
        if settled:
            last = position.number
            while self._disk.exists(self._layout.record(position.epoch, last + 1)):
                last += 1
            try:
                self._disk.sync_directory(folder)
            except FileNotFoundError:
                return None
        return self._read_epoch(position, last)

    def _read_epoch(self, position: Position, last: int | None) -> Iterator[Published]:
        number, epoch = position.number, position.epoch
        while number != last and (published := self.read(epoch, number + 1)) is not None:
            yield published
            if published.record.sealed:
                return
            number += 1
        if number != last and not self._disk.exists(self._layout.epoch(epoch)):
            # The folder was archived under our hands; the segment goes on where it ended.
            yield from self._archived(Position(number, epoch))

    def _archived(self, position: Position) -> list[Published]:
        """Records after ``position`` in the segment of its epoch, whose folder is gone."""
        for last, epoch in self.segments():
            if epoch == position.epoch:
                return [published for published in self.segment(last, epoch) if published.number > position.number]
        path = self._layout.epoch(position.epoch)
        raise damaged(position.number + 1, path, "its folder is missing, and no segment holds it")

    def _stage(self, path: str, data: bytes) -> None:
        try:
            fd = self._disk.create(path)
        except FileNotFoundError:
            folder = os.path.dirname(path)
            raise StorageError(f"folder {folder!r} is missing; restore it from a copy of the store") from None
        try:
            self._disk.write(fd, [data], path)
            self._disk.sync(fd, path)
        except BaseException:
            with contextlib.suppress(StorageError):
                self._disk.unlink(path)
            raise
        finally:
            self._disk.close(fd, path)

    def _claim(self, staged: str, position: Position, write_id: bytes) -> bool:
        try:
            self._disk.link(staged, self._layout.record(position.epoch, position.number + 1))
        except FileNotFoundError:
            # The epoch was archived; or a gc with another idea of the time took the staged file for a leftover.
            return False
        except FileExistsError:
            return self._is_ours(position, write_id)
        except StorageError:
            if not self._is_ours(position, write_id):
                raise
        return True

    def _is_ours(self, position: Position, write_id: bytes) -> bool:
        """Whether the link was made after all: a network file system may do it and lose the answer."""
        try:
            present = self.find(Position(position.number + 1, position.epoch))
        except StorageError as error:
            number = position.number + 1
            raise UnknownOutcomeError(
                f"record {number} may have been published, it cannot be read back: {error}; run `deltackpt log`"
            ) from error
        return present is not None and present.record.write_id == write_id
