"""Folders of torch.distributed.checkpoint: the metadata tells what each piece is called, and files tell it without."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from dcp_folders import BIAS, WEIGHT, save_alone, save_in_a_group
from readings import as_file, by_name, plain, reading_of, saved, sound, tensors

from deltackpt.errors import FormatError, LimitError, UnsafeError
from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.dcp import Item, Piece, read_metadata, read_shard
from deltackpt.formats.dcp import shard as shards
from deltackpt.formats.reading import Reading
from deltackpt.formats.spans import Literal, check_tiling


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("alone")
    return folder, save_alone(folder)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    save_in_a_group(folder := tmp_path_factory.mktemp("group"))
    return folder


def items_of(folder: Path) -> dict[str, list[Item]]:
    """The items of the folder's metadata, by the file that they stand in."""
    by_file = collections.defaultdict(list)
    for item in read_metadata((folder / ".metadata").read_bytes(), ".metadata"):
        by_file[item.file].append(item)
    return by_file


def shard_of(raw: bytes, items: list[Item] | None) -> Reading:
    with as_file(raw) as file:
        reading = read_shard(file, items)
        assert first_mismatch(file, reading.checksums) is None
    check_tiling(reading.spans, len(raw), "f")
    return reading


def test_the_metadata_says_what_pytorch_reads_in_it(group: Path) -> None:
    official = dcp.FileSystemReader(group).read_metadata()
    ours = {(item.fqn, item.piece and item.piece.offsets): item for items in items_of(group).values() for item in items}
    assert len(ours) == len(official.storage_data)
    for index, place in official.storage_data.items():
        item = ours[index.fqn, None if index.offset is None else tuple(index.offset)]
        assert (item.file, item.offset, item.length) == (place.relative_path, place.offset, place.length)
        if item.piece is not None:
            described = official.state_dict_metadata[index.fqn]
            assert item.piece.whole == tuple(described.size)
            assert item.piece.dtype == str(described.properties.dtype).removeprefix("torch.")
            assert (item.piece.offsets, item.piece.sizes) in [
                (tuple(c.offsets), tuple(c.sizes)) for c in described.chunks
            ]


def test_a_folder_of_one_process(alone: tuple[Path, dict[str, Any]]) -> None:
    folder, state = alone
    ((name, items),) = items_of(folder).items()
    raw = (folder / name).read_bytes()
    reading = shard_of(raw, items)
    assert (reading.format, reading.warning) == ("distcp", None)
    found = by_name(raw, reading)
    model = {f"model.{name}": plain(tensor) for name, tensor in state["model"].items()}
    assert model.items() <= found.items()
    assert found["optim.state.0.exp_avg"] == plain(state["optim"]["state"][0]["exp_avg"])
    assert len(found) == 4 + 4 * 3


def test_a_file_without_its_metadata_has_the_same_tensors_by_number(alone: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = alone
    ((name, items),) = items_of(folder).items()
    raw = (folder / name).read_bytes()
    reading = sound(raw)
    assert reading.format == "distcp"
    named, numbered = shard_of(raw, items), tensors(reading)
    assert [(s.offset, s.shape, s.dtype) for s in tensors(named)] == [(s.offset, s.shape, s.dtype) for s in numbered]
    order = sorted(items, key=lambda item: item.offset)
    assert [order[int(span.name)].name for span in numbered] == [span.name for span in tensors(named)]


def test_pieces_of_a_group_are_named_by_where_they_begin(group: Path) -> None:
    found: dict[str, Any] = {}
    for name, items in items_of(group).items():
        raw = (group / name).read_bytes()
        reading = shard_of(raw, items)
        assert reading.warning is None
        found |= by_name(raw, reading)
    assert found == {
        "model.weight@0,0": plain(WEIGHT[:3]),
        "model.weight@3,0": plain(WEIGHT[3:]),
        "model.columns@0,0": plain(WEIGHT[:, :4]),
        "model.columns@0,4": plain(WEIGHT[:, 4:]),
        "model.one": plain(WEIGHT[:1]),
        "model.one@1,0": ("float32", (0, 8), b""),
        "model.bias": plain(BIAS),
    }


def test_almost_all_tensor_bytes_are_typed(group: Path) -> None:
    typed = 0
    for name, items in items_of(group).items():
        raw = (group / name).read_bytes()
        typed += sum(span.length for span in tensors(shard_of(raw, items)))
    assert typed == 2 * WEIGHT.nbytes + WEIGHT[:1].nbytes + BIAS.nbytes


def test_the_metadata_file_itself_is_bytes(group: Path) -> None:
    raw = (group / ".metadata").read_bytes()
    reading = sound(raw)
    assert (reading.format, reading.spans) == ("dcp metadata", (Literal(0, len(raw)),))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_metadata_of_every_protocol_is_read(group: Path, protocol: int) -> None:
    raw = (group / ".metadata").read_bytes()
    again = pickle.dumps(dcp.FileSystemReader(group).read_metadata(), protocol)
    assert read_metadata(again, "m") == read_metadata(raw, "m")


def pieces(*lengths: int) -> tuple[bytes, list[Item]]:
    """A file of tensors of these lengths, and its items."""
    raw, items = b"", []
    for i, length in enumerate(lengths):
        one = saved(torch.arange(float(length)))
        piece = Piece((0,), (length,), (length,), "float32")
        items.append(Item("f", len(raw), len(one), f"w{i}", piece, ()))
        raw += one
    return raw, items


def test_an_item_of_one_file_alone_is_a_pytorch_file() -> None:
    raw, items = pieces(3)
    assert sound(raw).format == "pytorch"
    assert [span.name for span in tensors(shard_of(raw, items))] == ["w0"]


def test_what_was_transformed_stays_bytes() -> None:
    raw, items = pieces(3, 4)
    packed = b"packed" * 20
    items.append(Item("f", len(raw), len(packed), "w2", None, ("stream.zstd/1",)))
    reading = shard_of(raw + packed, items)
    assert reading.warning is None
    assert [span.name for span in tensors(reading)] == ["w0", "w1"]


def test_without_metadata_a_foreign_piece_ends_the_search() -> None:
    raw, _ = pieces(3, 4)
    reading = reading_of(b"PK\3\4foreign" + raw)
    assert [span.shape for span in tensors(reading)] == [(3,), (4,)]
    assert "an archive at byte 11; expected the end of another before it, found other bytes" in str(reading.warning)


def lying(item: Item, **facts: int) -> Item:
    values = {"offset": item.offset, "length": item.length, **facts}
    return Item(item.file, values["offset"], values["length"], item.fqn, item.piece, item.transforms)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"offset": 1 << 62}, "item 'w1' at byte 4611686018427387904; expected bytes "),
        ({"offset": 5}, "item 'w1' at byte 5; expected "),
        ({"length": 1 << 62}, "expected bytes "),
        ({"length": 20}, "a zip archive at byte "),
        ({"length": 0}, "item 'w1' at byte "),
    ],
)
def test_metadata_that_lies_costs_the_tensor_its_type_only(facts: dict[str, int], text: str) -> None:
    raw, (first, second, third) = pieces(3, 4, 5)
    reading = shard_of(raw, [first, lying(second, **facts), third])
    assert text in str(reading.warning)
    assert {"w0", "w2"} >= {span.name for span in tensors(reading)} >= {"w2"}


def test_more_archives_than_the_limit_are_not_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_ARCHIVES", 2)
    raw, _ = pieces(3, 4, 5)
    reading = shard_of(raw, None)
    assert isinstance(reading.warning, LimitError)
    assert [span.shape for span in tensors(reading)] == [(4,), (5,)]


class Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def metadata_with(**changes: Any) -> bytes:
    made = dcp.metadata.Metadata({}, None, {})
    vars(made).update(changes)
    return pickle.dumps(made)


@pytest.mark.parametrize(
    ("raw", "kind", "text"),
    [
        (pickle.dumps(Evil()), FormatError, "a record of the metadata at byte 0; expected Metadata"),
        (pickle.dumps({"a": 1}), FormatError, "a record of the metadata at byte 0; expected Metadata"),
        (metadata_with(storage_data=Evil()), FormatError, "storage_data of the metadata at byte 0; expected a dict"),
        (metadata_with(storage_data={1: 2}), FormatError, "expected MetadataIndex"),
        (metadata_with(state_dict_metadata={"w": Evil()}), FormatError, "expected TensorStorageMetadata"),
        (b"", FormatError, "the pickle ends early at byte 0"),
        (
            metadata_with(
                storage_data={
                    dcp.metadata.MetadataIndex("w"): dcp.filesystem._StorageInfo("../outside", 0, 1),
                }
            ),
            UnsafeError,
            "relative_path at byte 0; expected a name without NUL",
        ),
        (
            metadata_with(
                storage_data={dcp.metadata.MetadataIndex("w"): dcp.filesystem._StorageInfo("a.distcp", -1, 1)},
            ),
            FormatError,
            "offset of the metadata at byte 0; expected a number from 0",
        ),
    ],
)
def test_metadata_that_is_none_is_refused_and_never_run(
    raw: bytes, kind: type[FormatError], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind) as caught:
        read_metadata(raw, "m")
    assert text in str(caught.value)
    assert capsys.readouterr().out == ""
