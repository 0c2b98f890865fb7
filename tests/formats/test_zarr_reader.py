"""zarr folders as the official library writes them: chunks that are plain bytes are typed, all others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from folders import reading_of, tensors_below
from trees import listed

from deltackpt import Store
from deltackpt.errors import LimitError
from deltackpt.formats.source_file import open_source
from deltackpt.formats.zarr import version_3
from deltackpt.formats.zarr.limits import MAX_METADATA_BYTES

VALUES = np.random.default_rng(4).standard_normal((10, 6)).astype(np.float32)
KINDS = ["bool", "float16", "float32", "float64", "complex64", "complex128"]
KINDS += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def group(path: Path, zarr_format: Any = 3) -> zarr.Group:
    return zarr.open_group(str(path), mode="w", zarr_format=zarr_format)


def add(where: zarr.Group, name: str, values: Any, chunks: Any = None, **options: Any) -> None:
    array = where.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks or values.shape, **{"compressors": None, **options}
    )
    array[...] = values


def test_chunks_are_typed_and_named_after_their_keys(tmp_path: Path) -> None:
    add(group(tmp_path / "step-5/model.zarr"), "layers/0/w", VALUES, (4, 6))
    found = tensors_below(tmp_path)
    assert list(found) == [f"step-5/model.zarr/layers/0/w/c/{row}/0" for row in range(3)]
    padded = np.concatenate([VALUES, np.zeros((2, 6), np.float32)])
    for row, tensors in enumerate(found.values()):
        ((name, (span, plain)),) = tensors.items()
        assert name == f"layers/0/w/c/{row}/0"
        assert (span.dtype.name, span.shape) == ("float32", (4, 6))
        assert plain == padded[4 * row : 4 * row + 4].tobytes()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_element_type(tmp_path: Path, kind: str, zarr_format: int) -> None:
    values = (VALUES * 20).astype(kind)
    add(group(tmp_path, zarr_format), "w", values)
    ((_, tensors),) = tensors_below(tmp_path).items()
    ((span, plain),) = tensors.values()
    assert (span.dtype.name, span.shape, plain) == (kind, values.shape, values.tobytes())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_whole_folders_are_typed_but_for_their_descriptions(tmp_path: Path, zarr_format: int) -> None:
    root = group(tmp_path, zarr_format)
    for number in range(3):
        add(root, f"layers/{number}", np.tile(VALUES + number, (40, 40)), (100, 100))
    chunks = [path for path in tmp_path.rglob("*") if path.is_file() and path.name.lstrip(".")[0] not in "z"]
    typed = sum(span.length for tensors in tensors_below(tmp_path).values() for span, _ in tensors.values())
    assert typed == sum(path.stat().st_size for path in chunks) > 0


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": "auto"},
        {"shards": (4, 6), "chunks": (2, 6), "compressors": "auto"},
        {"shards": (4, 6), "chunks": (2, 6), "serializer": zarr.codecs.BytesCodec(endian="big")},
        {"serializer": zarr.codecs.BytesCodec(endian="big")},
        {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    ],
)
def test_other_chunks_are_files_like_any_other(tmp_path: Path, options: dict[str, Any]) -> None:
    add(group(tmp_path), "w", VALUES, **options)
    reading = reading_of(tmp_path)
    assert (reading.files, reading.refusals) == ({}, {})


def sharded(where: zarr.Group, index_location: Any = "end", index_codecs: Any = None) -> None:
    """An array of chunks of 2 x 3, in files of 4 x 6."""
    codecs = index_codecs or [zarr.codecs.BytesCodec(), zarr.codecs.Crc32cCodec()]
    codec = zarr.codecs.ShardingCodec(
        chunk_shape=(2, 3), codecs=[zarr.codecs.BytesCodec()], index_codecs=codecs, index_location=index_location
    )
    add(where, "layers/w", VALUES, (4, 6), serializer=codec, filters=())


@pytest.mark.parametrize("index_location", ["start", "end"])
@pytest.mark.parametrize("checked", [True, False])
def test_inner_chunks_are_typed_as_those_of_an_array_without_shards(
    tmp_path: Path, index_location: str, checked: bool
) -> None:
    add(group(tmp_path / "plain"), "layers/w", VALUES, (2, 3))
    sharded(group(tmp_path / "shards"), index_location, None if checked else [zarr.codecs.BytesCodec()])
    plain = {name: values for one in tensors_below(tmp_path / "plain").values() for name, (_, values) in one.items()}
    files = tensors_below(tmp_path / "shards")
    assert list(files) == [f"layers/w/c/{row}/0" for row in range(3)]
    assert [len(tensors) for tensors in files.values()] == [4, 4, 2]
    assert {name: values for one in files.values() for name, (_, values) in one.items()} == plain
    assert {(s.dtype.name, s.shape) for one in files.values() for s, _ in one.values()} == {("float32", (2, 3))}


def test_the_usual_way_to_shards(tmp_path: Path, store: Store) -> None:
    values = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    add(group(tmp_path / "z"), "w", values, (64, 64), shards=(128, 128))
    commit = store.commit_path(tmp_path / "z")
    typed = store.typed_bytes(commit)
    assert typed is not None
    assert typed.typed == values.nbytes
    assert typed.share > 0.99
    store.checkout("main", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(tmp_path / "z")
    add(group(tmp_path / "p"), "w", values, (64, 64))
    assert store.commit_path(tmp_path / "p").stored_bytes < 0.05 * values.nbytes


def test_texts_and_structures_are_not_typed(tmp_path: Path) -> None:
    root = group(tmp_path)
    with pytest.warns(zarr.errors.UnstableSpecificationWarning):
        add(root, "texts", np.array(["a", "bc"]))
    reading = reading_of(tmp_path)
    assert (reading.files, reading.refusals) == ({}, {})


def test_a_scalar_and_keys_with_dots(tmp_path: Path) -> None:
    root = group(tmp_path)
    add(root, "scalar", np.array(2.5))
    add(root, "dotted", VALUES, (5, 6), chunk_key_encoding={"name": "default", "separator": "."})
    assert list(tensors_below(tmp_path)) == ["dotted/c.0.0", "dotted/c.1.0", "scalar/c"]


def test_an_array_that_is_no_part_of_a_group(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "w"), shape=VALUES.shape, dtype=VALUES.dtype, compressors=None)
    array[...] = VALUES
    assert [list(tensors) for tensors in tensors_below(tmp_path).values()] == [["c/0/0"]]
    assert list(tensors_below(tmp_path / "w")) == ["c/0/0"]


def test_consolidated_descriptions_and_shrunken_arrays(tmp_path: Path) -> None:
    root = group(tmp_path)
    add(root, "w", VALUES, (4, 6))
    with pytest.warns(zarr.errors.ZarrUserWarning):
        zarr.consolidate_metadata(str(tmp_path))
    (tmp_path / "w/c/3").mkdir()
    (tmp_path / "w/c/3/0").write_bytes(bytes(96))  # left by a resize
    assert list(tensors_below(tmp_path)) == [f"w/c/{row}/0" for row in range(3)]


def test_a_description_beyond_the_limit(tmp_path: Path) -> None:
    with (path := tmp_path / "zarr.json").open("wb") as file:
        file.truncate(MAX_METADATA_BYTES + 1)
    with open_source(str(path)) as source, pytest.raises(LimitError, match="expected at most 67108864, found 67108865"):
        version_3.read_layout(source)


def test_a_database_of_chunks_is_left_alone(tmp_path: Path) -> None:
    """What Orbax writes: a tree of nodes with random names, and JSON about it."""
    for path in ("_METADATA", "_sharding", "manifest.ocdbt", "d/0a1b2c", "ocdbt.process_0/manifest.ocdbt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"\x0c\xdb\x3a\x2a" + bytes(100))
    reading = reading_of(tmp_path)
    assert (reading.files, reading.refusals) == ({}, {})
