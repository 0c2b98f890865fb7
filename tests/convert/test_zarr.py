"""zarr: what its own library reads from what we wrote, group by group; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from samples import Plain, plain, read_back, saved

from deltackpt import InvalidInputError, Store
from deltackpt.convert.changes import Changes, Renaming
from deltackpt.convert.convert import Conversion, convert_path

TYPES = (
    *("float64", "float32", "float16", "complex64", "complex128", "bool"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def found(path: Path) -> Plain:
    """What the library finds, by the paths of arrays."""
    root = zarr.open_group(path, mode="r")
    arrays = {name: array for name, array in root.members(max_depth=None) if isinstance(array, zarr.Array)}
    return {name: (one.dtype.name, one.shape, np.asarray(one[...]).tobytes()) for name, one in arrays.items()}


def test_every_type_and_shape_is_read_by_the_library(store: Store, tmp_path: Path) -> None:
    expected = plain(TYPES) | {"zeros": ("float32", (2, 2), bytes(16)), "minus": ("float32", (1,), b"\0\0\0\x80")}
    out = tmp_path / "out.zarr"
    written = convert_path(str(saved(tmp_path / "in.pt", expected)), str(out), Conversion("zarr"))
    assert written == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert found(out) == expected
    assert all(array.compressors == () for _, array in zarr.open_group(out, mode="r")["shape"].arrays())
    assert read_back(out) == expected
    commit = store.commit(out)
    assert sum(part.nbytes - part.untyped for part in commit.parts) == sum(len(raw) for *_, raw in expected.values())
    store.checkout("main", tmp_path / "again.zarr")
    assert found(tmp_path / "again.zarr") == expected


def test_slashes_are_groups_and_other_signs_are_not(tmp_path: Path) -> None:
    names = ("a.b/weight", "a.b/bias", "a.c", "x y/ä")
    torch.save({name: torch.ones(3) for name in names}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.zarr"), Conversion("zarr"))
    root = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert sorted(name for name, _ in root.groups()) == ["a.b", "x y"]
    assert set(found(tmp_path / "out.zarr")) == set(names)


def test_values_are_an_attribute(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3, "name": "run"}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.zarr"), Conversion("zarr"))
    attributes = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs.asdict()
    assert {name: json.loads(text) for name, text in attributes.items()} == {
        "deltackpt.values": {"epoch": 3, "name": "run"}
    }


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    torch.save({"w": torch.ones(2)}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(out), Conversion("zarr"))
    torch.save({"v": torch.ones(2)}, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match="exists already"):
        convert_path(str(tmp_path / "in.pt"), str(out), Conversion("zarr"))
    assert set(found(out)) == {"w"}
    convert_path(str(tmp_path / "in.pt"), str(out), Conversion("zarr"), force=True)
    assert set(found(out)) == {"v"}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"w": torch.ones(2, dtype=torch.bfloat16)}, "zarr has no bfloat16; convert it with --dtype fp32"),
        ({"w": torch.ones(2).to(torch.float8_e5m2)}, "zarr has no float8_e5m2; leave it out with --select"),
        ({"a": torch.ones(2), "a/b/c": torch.ones(2)}, "'a/b/c' would lie within tensor 'a'"),
        *(({name: torch.ones(2)}, "change it with --rename") for name in ("a//b", "a/", "./a", "a\\b", "__x/y")),
        *(({name: torch.ones(2)}, "change it with --rename") for name in ("a/zarr.json", "ä" * 128)),
        ({"../a": torch.ones(2)}, "rename it with --rename"),
        ({"w": torch.ones(2), "set": {1, 2}}, "'set': zarr holds tensors, numbers and texts"),
    ],
)
def test_what_is_refused_before_anything_is_written(tmp_path: Path, tensors: dict[str, Any], told: str) -> None:
    torch.save(tensors, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match=told):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.zarr"), Conversion("zarr"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


@pytest.mark.parametrize(("version", "across"), [(2, 0), (3, 0), (3, 1), (3, 2), (3, 3)])
def test_an_array_of_many_chunks_is_one_tensor(store: Store, tmp_path: Path, version: Any, across: int) -> None:
    """Chunks at the edges reach beyond it, and those that hold nothing but the fill value have no file.

    With shards there are so many chunks ``across`` a file in each dimension.
    """
    numbers = np.arange(7 * 11 * 3, dtype=np.int16).reshape(7, 11, 3)
    arrays = {"model.a/deep": numbers, "model.b": np.arange(5.0), "one": np.array(3.5), "none": np.zeros((0, 4))}
    filled = {"same": (5, np.full((4, 6), 5, np.uint8)), "nan": (np.nan, np.full((3, 3), np.nan, np.float32))}
    group = zarr.open_group(tmp_path / "in", mode="w", zarr_format=version)
    for name, array in arrays.items():
        chunks = tuple(max(1, extent // 2) for extent in array.shape)
        shards = tuple(across * step for step in chunks) if across and chunks else None
        plain_chunks = {"chunks": chunks, "shards": shards, "compressors": None, "filters": None}
        made = group.create_array(name, shape=array.shape, dtype=array.dtype, **plain_chunks)
        if array.size:
            made[...] = array
    for name, (fill, array) in filled.items():
        shards = (2 * across, 2 * across) if across else None
        plain_chunks = {"chunks": (2, 2), "shards": shards, "compressors": None, "fill_value": fill}
        made = group.create_array(name, shape=array.shape, dtype=array.dtype, **plain_chunks)
        made[:2, :2] = 9
        array[:2, :2] = 9
        arrays[name] = array
    expected = {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}
    assert read_back(tmp_path / "in") == expected
    convert_path(str(tmp_path / "in"), str(tmp_path / "out.zarr"), Conversion("zarr"))
    assert found(tmp_path / "out.zarr") == expected
    store.commit(tmp_path / "in")
    store.export("main", tmp_path / "again.npz", Conversion("npz"))
    assert read_back(tmp_path / "again.npz") == expected
    convert_path(str(tmp_path / "in"), str(tmp_path / "b.npz"), Conversion("npz", Changes("*.b")))
    assert read_back(tmp_path / "b.npz").keys() == {"model.b"}


@pytest.mark.parametrize("fill", ["0xzz", "0x7fffffffffff", {}, [1, 2], 10**400, "text", [[[]]]])
def test_a_fill_value_of_no_such_type_is_no_array(tmp_path: Path, fill: Any) -> None:
    zarr.create_array(tmp_path / "in", data=np.arange(6, dtype=np.float32), chunks=(4,), compressors=None)
    described = json.loads((tmp_path / "in" / "zarr.json").read_text())
    (tmp_path / "in" / "zarr.json").write_text(json.dumps(described | {"fill_value": fill}))
    with pytest.raises(InvalidInputError, match="cannot be converted"):
        convert_path(str(tmp_path / "in"), str(tmp_path / "out.npz"), Conversion("npz"))


def test_an_array_by_itself_needs_a_name(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in", data=np.arange(6.0), chunks=(4,), compressors=None)
    with pytest.raises(InvalidInputError, match="give it one with --rename"):
        convert_path(str(tmp_path / "in"), str(tmp_path / "out.npz"), Conversion("npz"))
    renaming = Renaming.of("^$=>w")
    convert_path(str(tmp_path / "in"), str(tmp_path / "out.npz"), Conversion("npz", Changes(renamings=(renaming,))))
    assert np.load(tmp_path / "out.npz")["w"].tolist() == [0, 1, 2, 3, 4, 5]


def test_half_precision_is_widened(tmp_path: Path) -> None:
    torch.save({"w": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.zarr"), Conversion("zarr", Changes(floats="fp32")))
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["w"][...].tolist() == [1.5, -2.0]
