"""What files say beside their tensors goes wherever there is room for it, comes back, or is named in a warning."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import zarr
from gguf import GGUFReader, GGUFWriter
from onnx import helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from samples import read_back

from deltackpt import InvalidInputError, Store
from deltackpt.convert.changes import Changes, Renaming
from deltackpt.convert.convert import Conversion, convert_path

ONES = {"w": ("float32", (2, 3), np.ones((2, 3), np.float32).tobytes())}
VALUES = {"epoch": 3, "lr": 0.1, "note": "π", "last": None, "done": True}
TOLD = {"modelspec.title": "a style", "ss_tag_frequency": '{"cat": 3}'}
WITH_ROOM = ("safetensors", "gguf", "onnx", "zarr")


def convert(source: Path, out: Path, **options: Any) -> Path:
    convert_path(str(source), str(out), Conversion(out.suffix[1:], **options))
    return out


def state(folder: Path) -> Path:
    torch.save({"w": torch.ones(2, 3), **VALUES}, folder / "in.pt")
    return folder / "in.pt"


def lora(folder: Path) -> Path:
    save_file({"w": torch.ones(2, 3)}, folder / "in.safetensors", {"format": "pt", **TOLD})
    return folder / "in.safetensors"


def model(folder: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Add", ["w", "w"], ["y"])],
        "g",
        [],
        [],
        [numpy_helper.from_array(np.ones((2, 3), np.float32), "w")],
    )
    made = helper.make_model(graph)
    helper.set_model_props(made, TOLD)
    onnx.save(made, folder / "in.onnx")
    return folder / "in.onnx"


def group(folder: Path, **more: Any) -> Path:
    root = zarr.open_group(folder / "in.zarr", mode="w", zarr_format=3, attributes={**TOLD, **more})
    root.create_array("w", data=np.ones((2, 3), np.float32), compressors=None)
    return folder / "in.zarr"


def keys(folder: Path) -> Path:
    writer = GGUFWriter(folder / "in.gguf", "llama")
    writer.add_custom_alignment(64)
    writer.add_block_count(2)
    writer.add_token_list([b"a", b"\xff\xfe", "π".encode()])
    writer.add_token_scores([0.1, -1.5, float("-inf")])
    writer.add_bool("flag", True)
    writer.add_tensor("w", np.ones((2, 3), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "in.gguf"


def told_by(path: Path) -> dict[str, Any]:
    """What the library of each format finds beside the tensors."""
    match path.suffix:
        case ".safetensors":
            with safe_open(path, "pt") as file:
                return {key: text for key, text in file.metadata().items() if key != "deltackpt"}
        case ".onnx":
            return {one.key: one.value for one in onnx.load(path).metadata_props}
        case ".zarr":
            return zarr.open_group(path, mode="r").attrs.asdict()
    return {key: field.contents() for key, field in GGUFReader(path).fields.items() if not key.startswith("GGUF.")}


def raw_keys(path: Path) -> dict[str, tuple[Any, ...]]:
    """Keys of a GGUF file with types and bytes."""
    fields = GGUFReader(path).fields.items()
    return {key: (tuple(one.types), b"".join(p.tobytes() for p in one.parts[2:])) for key, one in fields}


@pytest.mark.parametrize("way", [*pairwise((*WITH_ROOM, *reversed(WITH_ROOM))), ("safetensors", "safetensors")])
def test_numbers_and_texts_come_back_from_every_format(tmp_path: Path, way: tuple[str, str]) -> None:
    first, second = (tmp_path / f"{at}.{format}" for at, format in enumerate(way))
    convert(convert(state(tmp_path), first), second)
    assert json.loads(told_by(second)["deltackpt.values"]) == VALUES
    back = torch.load(convert(second, tmp_path / "out.pt"), weights_only=True)
    assert {name: value for name, value in back.items() if name != "w"} == VALUES
    assert read_back(second) == ONES


@pytest.mark.parametrize("source", [lora, model, group])
@pytest.mark.parametrize("format", WITH_ROOM)
def test_metadata_goes_from_format_to_format(
    store: Store, tmp_path: Path, source: Callable[[Path], Path], format: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = source(tmp_path)
    out = convert(file, tmp_path / f"out.{format}")
    again = convert(out, tmp_path / "again.safetensors")
    assert told_by(again) == {"format": "pt", **TOLD}
    if format != "gguf":
        assert {key: text for key, text in told_by(out).items() if key != "format"} == TOLD
    store.commit_path(file)
    store.export("main", tmp_path / f"stored.{format}", Conversion(format))
    assert told_by(tmp_path / f"stored.{format}") == told_by(out)
    said = [line.partition(": ")[2] for line in caplog.messages]
    assert said == (["its graph, of 1 node; left behind"] * 2 if source is model else [])


@pytest.mark.parametrize("format", ["safetensors", "onnx", "zarr"])
def test_keys_of_gguf_come_back_with_their_types(store: Store, tmp_path: Path, format: str) -> None:
    source = keys(tmp_path)
    between = convert(source, tmp_path / f"between.{format}")
    told = json.loads(told_by(between)["deltackpt.gguf"])
    assert told["llama.block_count"] == {"type": 4, "value": 2}
    assert (told["tokenizer.ggml.scores"]["of"], told["tokenizer.ggml.tokens"]["value"][2]) == (6, "π")
    store.commit_path(between)
    store.export("main", tmp_path / "out.gguf", Conversion("gguf"))
    assert (tmp_path / "out.gguf").read_bytes() == convert(between, tmp_path / "again.gguf").read_bytes()
    expected = {key: value for key, value in raw_keys(source).items() if key != "general.alignment"}
    assert raw_keys(tmp_path / "out.gguf") == expected


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (lora, ["'modelspec.title' and 1 more: npz has no place for what stands beside the tensors; left behind"]),
        (
            model,
            [
                "'modelspec.title' and 1 more: npz has no place for what stands beside the tensors; left behind",
                "in.onnx: its graph, of 1 node; left behind",
            ],
        ),
        (
            keys,
            ["'flag' and 5 more: npz has no place for what stands beside the tensors; left behind"],
        ),
        (lambda folder: convert(state(folder), folder / "plain.safetensors", changes=Changes("w")), []),
    ],
)
def test_what_has_no_place_is_said(
    tmp_path: Path, source: Callable[[Path], Path], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_back(convert(source(tmp_path), tmp_path / "out.npz")) == ONES
    assert caplog.messages == lines


def test_attributes_of_zarr_keep_their_types_and_those_within_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = group(tmp_path, shape={"rows": [2, 3]}, scale=0.5)
    zarr.open_array(source / "w").attrs["units"] = "m"
    out = convert(source, tmp_path / "out.zarr")
    assert told_by(out) == told_by(source)
    assert caplog.messages == ["attributes of 'w'; left behind"]
    assert told_by(convert(source, tmp_path / "out.safetensors"))["shape"] == '{"rows": [2, 3]}'


def test_shards_say_the_same_once_and_what_differs_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder := tmp_path / "run").mkdir()
    for number in (1, 2):
        told = {"format": "mlx", "author": "ada", "part": str(number)}
        save_file({f"w{number}": torch.ones(2)}, folder / f"model-0000{number}-of-00002.safetensors", told)
    convert_path(str(folder), str(tmp_path / "out.safetensors"), Conversion("safetensors"), part="model")
    assert told_by(tmp_path / "out.safetensors") == {"format": "mlx", "author": "ada", "part": "1"}
    assert caplog.messages == [
        "'part' in model-00002-of-00002.safetensors: another file says something else there; left behind"
    ]


def test_values_of_a_part_are_chosen_with_it(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    convert(state(tmp_path), folder / "model.safetensors")
    torch.save({"lr": 0.5}, folder / "optimizer.pt")
    store.commit_path(folder)
    convert_path(str(folder), str(tmp_path / "one.pt"), Conversion("pt", Changes("[we]*")), part="model")
    store.export("main", tmp_path / "two.pt", Conversion("pt", Changes("[we]*")), part="model")
    for name in ("one", "two"):
        assert torch.load(tmp_path / f"{name}.pt")["epoch"] == 3
    convert_path(str(folder), str(tmp_path / "all.pt"), Conversion("pt"))
    assert {"model/epoch": 3, "optimizer/lr": 0.5}.items() <= torch.load(tmp_path / "all.pt").items()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": [1]}', "{" * 100_000, '{"general.alignment": 3}', '{"k": {"type": 4}}']
)
@pytest.mark.parametrize("key", ["deltackpt.values", "deltackpt.gguf", "deltackpt.metadata"])
def test_what_only_looks_like_ours_is_a_text_like_any_other(tmp_path: Path, key: str, text: str) -> None:
    save_file({"w": torch.ones(2, 3)}, tmp_path / "in.safetensors", {key: text})
    out = convert(tmp_path / "in.safetensors", tmp_path / "out.gguf")
    assert read_back(out) == ONES
    assert read_back(convert(out, tmp_path / "out.safetensors")) == ONES


def test_a_state_keeps_what_its_file_says(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"model": {"w": torch.ones(2, 3)}, **VALUES}, tmp_path / "in.pt")
    whole = convert(tmp_path / "in.pt", tmp_path / "whole.safetensors")
    again = convert(whole, tmp_path / "again.safetensors")
    assert again.read_bytes() == whole.read_bytes()
    store.commit_path(again)
    assert {name: value for name, value in store.load("main").items() if name != "model"} == VALUES
    with caplog.at_level(logging.WARNING, "deltackpt"):
        convert(whole, tmp_path / "out.npz", lossy=True)
    assert caplog.messages == ["'done' and 4 more: npz has no place for such values; left out"]


def test_files_of_a_folder_without_tensors_are_named(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder := tmp_path / "run" / "1_Pooling").mkdir(parents=True)
    folder = folder.parent
    for name in ("config.json", "modules.json", "1_Pooling/config.json", "README.md", "tokenizer.json", "z.txt"):
        (folder / name).write_text("{}")
    save_file({"w": torch.ones(2, 3)}, folder / "model.safetensors")
    torch.save({"lr": 0.1}, folder / "scheduler.pt")
    store.commit_path(folder)
    caplog.clear()
    left = "1_Pooling/config.json, README.md, modules.json, z.txt: no tensors there; left behind"
    for out, conversion in (("hf", Conversion("hf")), ("all.pt", Conversion("pt"))):
        convert_path(str(folder), str(tmp_path / out), conversion)
        store.export("main", tmp_path / f"stored-{out}", conversion)
        assert caplog.messages[-1] == (
            left
            if out == "hf"
            else "1_Pooling/config.json, README.md, config.json, modules.json and 2 more: no tensors there; left behind"
        )
        assert len(set(caplog.messages)) == 1
        caplog.clear()
    convert_path(str(folder), str(tmp_path / "model.pt"), Conversion("pt"), part="model")
    assert caplog.messages == []


@pytest.mark.parametrize("target", ["run", "run/../run", "."])
def test_a_folder_is_never_written_over_itself(tmp_path: Path, target: str) -> None:
    (folder := tmp_path / "outer" / "run").mkdir(parents=True)
    save_file({"w": torch.ones(2, 3)}, folder / "model.safetensors")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="is, or holds, the folder that is converted; choose"):
        convert_path(
            str(folder), str(tmp_path / "outer" / target), Conversion("safetensors", shard_bytes=9), force=True
        )
    with pytest.raises(InvalidInputError, match="lies in the folder that is converted; choose a target outside"):
        convert_path(str(folder), str(folder / "model.gguf"), Conversion("gguf"))
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "notes.txt"]


def test_a_number_of_thousands_of_digits_is_no_plain_value(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 3), "n": 10**5000, "m": -(10**600)}, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match="'n': ONNX holds tensors, numbers and texts"):
        convert(tmp_path / "in.pt", tmp_path / "out.onnx")
    whole = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert json.loads(told_by(whole)["deltackpt.values"]) == {"m": -(10**600)}
    out = convert(tmp_path / "in.pt", tmp_path / "out.onnx", lossy=True)
    assert torch.load(convert(out, tmp_path / "out.pt"))["m"] == -(10**600)


def test_an_array_without_a_name_is_given_one(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 3), np.float32))
    with pytest.raises(
        InvalidInputError, match=r"a tensor has no name, which npz needs; give it one with --rename '\^"
    ):
        convert(tmp_path / "in.npy", tmp_path / "out.npz")
    out = convert(tmp_path / "in.npy", tmp_path / "out.npz", changes=Changes(renamings=(Renaming.of("^$=>w"),)))
    assert read_back(out) == ONES


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\x72\x04\x0a\x02\xff\xfe", "a property at byte"),
        (b"\x70\x01", "expected a message, found wire type 0"),
        (b"\x72\x02\x08\x01", "a property at byte"),
    ],
)
def test_properties_that_are_none_are_left_behind(
    tmp_path: Path, raw: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = convert(lora(tmp_path), tmp_path / "in.onnx")
    source.write_bytes(source.read_bytes() + raw)
    assert read_back(convert(source, tmp_path / "out.safetensors")) == ONES
    (line,) = caplog.messages
    assert (told in line, line.startswith(f"{source}: "), line.endswith("; left behind")) == (True, True, True)
