"""zarr folders that a copy left incomplete: each file missing, each cut at every boundary. All of it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from folders import reading_of
from trees import listed

from deltackpt import Store

VALUES = np.random.default_rng(5).standard_normal((8, 6)).astype(np.float32)
KINDS: dict[str, dict[str, Any]] = {
    "3": {"zarr_format": 3},
    "3, sharded": {"zarr_format": 3, "shards": (4, 6)},
    "2": {"zarr_format": 2},
}
SHARD_CHUNK, ENTRY = 2 * 3 * 4, 16
"""Bytes of an inner chunk, and of its entry in the index."""


def write(path: Path, zarr_format: Any, **options: Any) -> Path:
    root = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for name in ("layers/w", "v"):
        array = root.create_array(name, shape=(8, 6), dtype="float32", chunks=(2, 3), compressors=None, **options)
        array[...] = VALUES
    return path


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def boundaries(raw: bytes) -> Iterator[int]:
    """Where a file can be cut: at its ends, within each field of its JSON, at each chunk and entry of an index."""
    yield from {0, 1, len(raw) // 2, len(raw) - 1}
    if raw.startswith(b"{"):
        yield from (at for at, byte in enumerate(raw) if byte in b"{}[],:")
    else:
        yield from range(0, len(raw), SHARD_CHUNK)
        yield from range(4 * SHARD_CHUNK, len(raw), ENTRY)


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "z", **request.param)


def test_every_cut_leaves_the_other_array_typed(whole: Path) -> None:
    sound = reading_of(whole)
    assert sound.refusals == {}
    for path in files_of(whole):
        raw, own = path.read_bytes(), path.relative_to(whole).as_posix()
        others = {name for name in sound.files if name.split("/")[0] != own.split("/")[0]}
        for size in sorted({*boundaries(raw)}):
            path.write_bytes(raw[:size])
            found = reading_of(whole)
            assert set(found.refusals) <= {f"{array}/{name}" for array in ("layers/w", "v") for name in NAMES} | {own}
            if "/" in own:
                assert others <= found.files.keys()
            for error in found.refusals.values():
                assert str(error).isprintable()
                assert str(whole) in str(error) or own in str(error)
        path.write_bytes(raw)


NAMES = ("zarr.json", ".zarray")


def test_every_file_may_be_missing(whole: Path) -> None:
    sound = reading_of(whole)
    for path in files_of(whole):
        raw, own = path.read_bytes(), path.relative_to(whole).as_posix()
        path.unlink()
        found = reading_of(whole)
        assert found.refusals == {}
        if path.name in NAMES:
            below = f"{Path(own).parent.as_posix()}/" if "/" in own else ""
            described = {name for name in sound.files if below and name.startswith(below)}
            assert found.files.keys() in (sound.files.keys() - described, sound.files.keys())
        else:
            assert found.files.keys() == sound.files.keys() - {own}
        path.write_bytes(raw)


def test_what_is_broken_comes_back_as_it_is(whole: Path, store: Store, tmp_path: Path) -> None:
    numbers = count()
    for path in files_of(whole):
        raw = path.read_bytes()
        for broken in (None, b"", raw[:-1], raw[: len(raw) // 2]):
            path.unlink(missing_ok=True)
            if broken is not None:
                path.write_bytes(broken)
            store.commit_path(whole)
            store.checkout("main", back := tmp_path / f"back-{next(numbers)}")
            assert listed(back) == listed(whole)
        path.write_bytes(raw)
