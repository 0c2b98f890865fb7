"""A damaged ``store.json`` is written anew from what stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from damaged import STEPS, build, check_mended, loads
from disks import make_newer

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.chunkstore.facts import read_facts, write_facts
from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import UnsupportedError
from deltackpt.fs.disk import Disk


@pytest.mark.parametrize("how", ["a digit", "the version", "nonsense", "nested too deep", "missing"])
def test_store_json(tmp_path: Path, how: str) -> None:
    build(tmp_path / "store").close()
    path = tmp_path / "store" / "store.json"
    before = json.loads(path.read_text())
    if how == "a digit":
        path.write_text(path.read_text().replace(before["check"], before["check"][::-1]))
    elif how == "the version":
        path.write_text(path.read_text().replace('"format": 1', '"format": 3'))
    elif how == "nonsense":
        path.write_bytes(b"\xff" * 90)
    elif how == "nested too deep":
        path.write_bytes(b'{"format": ' + b"[" * 60_000)
    else:
        path.unlink()
    plan = Store.repair(tmp_path / "store")
    assert "store.json" in plan.mends[0].what
    assert Store.repair(tmp_path / "store", execute=True).ok
    after = json.loads(path.read_text())
    told = ("format", "hash", "chunk_bytes", "epoch", "reserve_bytes")
    assert {key: after[key] for key in told} == {key: before[key] for key in told}
    if how in ("a digit", "the version"):
        assert after["store_id"] == before["store_id"]
    assert (tmp_path / "store" / "quarantine").exists() == (how != "missing")
    with Store(tmp_path / "store") as store:
        for step in STEPS:
            loads(store, step)
    check_mended(tmp_path / "store", {})


@pytest.mark.parametrize(
    ("sound", "damaged"),
    [
        ('"format": 0', '"format": 1'),
        ('"format": 0', '"format": 8'),
        ("{\n", "{{"),
        ('"chunk_bytes": ', '"chunk_bytes"; '),
        ('"check": "', '"check": "0'),
        ('"created": "2', '"created": "3'),
    ],
)
def test_a_store_of_an_older_version_keeps_it(tmp_path: Path, sound: str, damaged: str) -> None:
    build(tmp_path / "store").close()
    disk, layout = Disk(), Layout(str(tmp_path / "store"))
    older = msgspec.structs.replace(read_facts(disk, layout), format=0)
    write_facts(disk, layout, msgspec.structs.replace(older, check=older.checksum()))
    path = tmp_path / "store" / "store.json"
    whole = path.read_text()
    path.write_text(whole.replace(sound, damaged))
    assert path.read_text() != whole
    assert Store.repair(tmp_path / "store", execute=True).ok
    after = read_facts(disk, layout)
    assert (after.format, after.store_id) == (0, older.store_id)
    if "check" not in sound and "created" not in sound and "chunk" not in sound:
        assert path.read_text() == whole, "every field is legible, and the checksum is of format 0"
    check_mended(tmp_path / "store", {})


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    build(tmp_path / "store").close()
    make_newer(tmp_path / "store")
    with pytest.raises(UnsupportedError, match="upgrade"):
        Store.repair(tmp_path / "store", execute=True)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not a store"):
        Store.repair(tmp_path)


def test_no_new_store_hides_one_that_lost_its_facts(tmp_path: Path) -> None:
    build(tmp_path / "store").close()
    (tmp_path / "store" / "store.json").unlink()
    with pytest.raises(InvalidInputError, match=r"has lost its store\.json; run `deltackpt repair`"):
        Store.init(tmp_path / "store")
    assert Store.repair(tmp_path / "store", execute=True).ok
    check_mended(tmp_path / "store", {})
