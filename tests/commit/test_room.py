"""A commit that cannot fit is refused before it writes; one that may fit is let through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from disks import opened

from deltackpt import Store
from deltackpt.commit.room import NoRoomError
from deltackpt.fs.disk import Buffer, Disk

SIZE = 3_000_000
NOISE = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8)


class Free(Disk):
    """Says that so many bytes are free, and counts those that are written."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.written = 0

    def free_bytes(self, path: str, *, at_most: bool = False) -> int:
        return self.free

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        super().write(fd, pieces, path)
        self.written += sum(memoryview(piece).nbytes for piece in pieces)


def test_what_cannot_fit_is_refused_before_a_byte_is_written(store: Store) -> None:
    need = SIZE * 15 // 32
    disk = Free(need - 1)
    with pytest.raises(NoRoomError) as caught:
        opened(store.path, disk).commit({"w": NOISE})
    assert (caught.value.need, caught.value.free) == (need, need - 1)
    assert str(caught.value) == (
        f"this commit needs at least {need} bytes and {need - 1} are free in {store.path!r};"
        " nothing was published; free some room (`deltackpt prune`, then `deltackpt gc`) and try again"
    )
    assert disk.written == 0
    assert list(Path(store.path, "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("state", "free"),
    [
        ({"w": NOISE}, SIZE // 2),
        ({"w": np.zeros(SIZE, np.uint8)}, 10_000),
        ({"w": NOISE[: SIZE // 60], "frozen": np.zeros(SIZE, np.uint8)}, SIZE // 60),
        ({"w": NOISE, "twin": NOISE.copy()}, SIZE),
    ],
    ids=["more than half of it", "zeros", "mostly zeros", "twins"],
)
def test_what_may_fit_is_tried(store: Store, state: dict[str, np.ndarray], free: int) -> None:
    opened(store.path, Free(free)).commit(state)


def test_what_the_store_has_needs_no_room(store: Store) -> None:
    store.commit({"w": NOISE}, step=1)
    opened(store.path, Free(20_000)).commit({"w": NOISE, "step": 2}, step=2)


def test_a_small_change_needs_little_room(store: Store) -> None:
    store.commit({"w": NOISE}, step=1)
    changed = NOISE.copy()
    changed[::1000] ^= 1
    assert opened(store.path, Free(200_000)).commit({"w": changed}, step=2).stored_bytes < 200_000


def test_a_disk_with_room_is_only_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltackpt.commit.room.spread", None)
    opened(store.path, Free(SIZE)).commit({"w": NOISE})


def test_files_are_asked_too(store: Store, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": NOISE, "b": NOISE[:100]}, tmp_path / "model.safetensors")
    with pytest.raises(NoRoomError):
        opened(store.path, Free(1000)).commit_path(tmp_path / "model.safetensors")


def test_rounded_copies_need_no_room(store: Store) -> None:
    weights = np.random.default_rng(2).standard_normal(SIZE // 4).astype(np.float32)
    store.commit({"w": weights}, step=1)
    copy = weights.astype(np.float16)
    opened(store.path, Free(20_000)).commit({"w": weights, "half": copy}, step=2)
    opened(store.path, Free(20_000)).commit({"alone": copy}, branch="half")
    other = np.random.default_rng(3).standard_normal(SIZE // 4).astype(np.float32)
    with pytest.raises(NoRoomError):
        opened(store.path, Free(SIZE // 3)).commit({"w": other, "half": other.astype(np.float16)}, step=3)
