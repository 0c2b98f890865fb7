"""Actors on one store, of which a seeded baton lets exactly one run at a time: every schedule can be seen again."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence

from patience import PATIENCE

from deltackpt import Options, Store
from deltackpt.chunkstore.environments import shared_environment
from deltackpt.fs.disk import Buffer, Disk
from deltackpt.history.repository import Repository

Actor = Callable[[Store], None]


class Baton:
    """Whoever holds it runs; at every call of the disk it may go to another."""

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self._chance = random.Random(seed)
        # Some schedules change hands at every call, some let an actor run for long.
        self._restlessness = self._chance.choice([0.03, 0.1, 0.3, 1.0])
        self._alive = list(names)
        self._holder = self._chance.choice(self._alive)
        self._changed = threading.Condition()
        self.steps = 0

    def take(self, name: str) -> None:
        """Wait for the baton."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._holder == name, PATIENCE):
                raise TimeoutError(f"{name} waits for {self._holder}, which does not come to a call of the disk")

    def offer(self, name: str) -> None:
        """Give the baton to anyone, perhaps to oneself, and wait for it to come back."""
        with self._changed:
            self.steps += 1
            if self._chance.random() < self._restlessness:
                self._pass_on()
        self.take(name)

    def leave(self, name: str) -> None:
        with self._changed:
            self._alive.remove(name)
            self._pass_on()

    def _pass_on(self) -> None:
        if self._alive:
            self._holder = self._chance.choice(self._alive)
            self._changed.notify_all()


class SteppingDisk(Disk):
    """Offers the baton before every call, except while the index is locked: there the others would have to wait."""

    def __init__(self, baton: Baton, name: str, index: str) -> None:
        self._baton = baton
        self._name = name
        self._index = os.path.realpath(index)

    def _step(self) -> None:
        lock = shared_environment(self._index).lock
        if not lock._writing and not lock._readers:
            self._baton.offer(self._name)

    def create(self, path: str) -> int:
        self._step()
        return super().create(path)

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        self._step()
        super().write(fd, pieces, path)

    def sync(self, fd: int, path: str) -> None:
        self._step()

    def sync_directory(self, path: str) -> None:
        self._step()

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._step()
        super().link(source, target)

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)

    def open(self, path: str) -> int:
        self._step()
        return super().open(path)

    def exists(self, path: str) -> bool:
        self._step()
        return super().exists(path)

    def names(self, path: str) -> list[str]:
        self._step()
        return super().names(path)

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        self._step()
        return super().read_at(fd, offset, length, path)


def run(root: str, actors: Mapping[str, Actor], seed: int) -> tuple[dict[str, BaseException], int]:
    """Let the actors run, each with the store opened for itself; what each of them failed with, and how many steps."""
    baton = Baton(seed, list(actors))
    failures: dict[str, BaseException] = {}

    def live(name: str, actor: Actor) -> None:
        baton.take(name)
        try:
            store = stepping(root, baton, name)
            try:
                actor(store)
            finally:
                store.close()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures[name] = error
        finally:
            baton.leave(name)

    threads = [threading.Thread(target=live, args=item, daemon=True) for item in actors.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        if thread.is_alive():
            raise TimeoutError(f"schedule {seed} of {sorted(actors)} does not end")
    return failures, baton.steps


def stepping(root: str, baton: Baton, name: str) -> Store:
    options = Options(threads=1, cache_bytes=0)
    store = Store(root, options=options)
    disk = SteppingDisk(baton, name, store.index_path)
    store._repository = Repository(root, options, lambda done, total: None, disk)
    return store
