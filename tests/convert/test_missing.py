"""What a conversion cannot carry over is refused by name, or left out when asked for; never dropped silently."""

from __future__ import annotations

import argparse
import datetime
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
import zarr
from onnx import helper, numpy_helper
from samples import read_back

from deltackpt import InvalidInputError, Store
from deltackpt.convert.changes import Changes
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.convert.formats import FORMATS

ONES = ("float32", (2,), np.ones(2, np.float32).tobytes())


class Schedule:
    """A class of the run's own."""

    def __init__(self) -> None:
        self.warmup = 100
        self.rates = torch.ones(2)


def pickled(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


def odd_pt(folder: Path) -> Path:
    extra = {"when": datetime.date(2026, 1, 2), "epoch": 3}
    state = {"model": {"w": torch.ones(2)}, "args": argparse.Namespace(lr=0.1), "extra": extra}
    return pickled(folder / "in.pt", state)


def odd_npz(folder: Path) -> Path:
    np.savez(folder / "in.npz", **{"model/w": np.ones(2, np.float32), "args": np.array([{"lr": 0.1}], dtype=object)})
    return folder / "in.npz"


def odd_texts(folder: Path) -> Path:
    np.savez(folder / "in.npz", **{"model/w": np.ones(2, np.float32), "args": np.array(["lr", "wd"])})
    return folder / "in.npz"


def packed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "in.npz", args=np.zeros(1000))
    return folder / "in.npz"


def odd_onnx(folder: Path) -> Path:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "model/w")
    args = helper.make_tensor("args", onnx.TensorProto.STRING, [1], [b"text"])
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], [weight, args])), folder / "in.onnx")
    return folder / "in.onnx"


def onnx_without_its_data(folder: Path) -> Path:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "model/w")
    args = numpy_helper.from_array(np.ones(2000, np.float32), "args")
    model = helper.make_model(helper.make_graph([], "g", [], [], [weight, args]))
    onnx.save(model, folder / "in.onnx", save_as_external_data=True, location="data", size_threshold=1000)
    (folder / "data").unlink()
    return folder / "in.onnx"


def odd_zarr(folder: Path) -> Path:
    group = zarr.open_group(folder / "in.zarr", mode="w", zarr_format=3)
    group.create_array("model/w", data=np.ones(2, np.float32), compressors=None)
    group.create_array("args", data=np.arange(2000.0))
    return folder / "in.zarr"


ODD: dict[str, Callable[[Path], Path]] = {
    "argparse.Namespace": odd_pt,
    "an array of NumPy's type |O": odd_npz,
    "an array of NumPy's type <U2": odd_texts,
    "a tensor of texts": odd_onnx,
    "a tensor whose data is in another file": onnx_without_its_data,
    "a zarr array whose chunks are compressed": odd_zarr,
}


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_read_is_named_unless_it_is_not_selected(
    store: Store, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, out = ODD[what](tmp_path), tmp_path / "out.safetensors"
    store.commit_path(source)
    with pytest.raises(InvalidInputError) as refused:
        convert_path(str(source), str(out), Conversion("safetensors"))
    told = str(refused.value)
    assert (told.startswith("'args' in "), f": {what}" in told) == (True, True)
    assert told.endswith("cannot be converted; leave it out with --select or --part, or convert the rest with --lossy")
    with pytest.raises(InvalidInputError, match=r"'args' in .* cannot be converted"):
        store.export("main", out, Conversion("safetensors"))
    assert not out.exists()
    convert_path(str(source), str(out), Conversion("safetensors", Changes("model/*")))
    assert read_back(out) == {"model/w": ONES}
    store.export("main", tmp_path / "stored.safetensors", Conversion("safetensors", Changes("model/*")))
    assert read_back(tmp_path / "stored.safetensors") == {"model/w": ONES}
    with caplog.at_level(logging.WARNING, "deltackpt"):
        convert_path(str(source), str(tmp_path / "lossy.safetensors"), Conversion("safetensors", lossy=True))
    assert read_back(tmp_path / "lossy.safetensors")["model/w"] == ONES
    assert f": {what}" in caplog.text
    assert "'args' in " in caplog.text


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("hf", "tf")])
def test_every_writer_refuses_what_was_not_read(tmp_path: Path, format: str) -> None:
    source = odd_pt(tmp_path)
    with pytest.raises(
        InvalidInputError, match=r"'args' in .*in.pt: argparse.Namespace and 1 more cannot be converted"
    ):
        convert_path(str(source), str(tmp_path / "out"), Conversion(format))
    convert_path(str(source), str(tmp_path / "model"), Conversion(format), part="model")
    assert read_back(tmp_path / "model") == {"w": ONES}
    convert_path(str(source), str(tmp_path / "all"), Conversion(format, lossy=True))
    assert read_back(tmp_path / "all") == {"model/w": ONES}


def test_values_beside_an_object_are_kept(tmp_path: Path) -> None:
    convert_path(str(odd_pt(tmp_path)), str(tmp_path / "out.pt"), Conversion("pt", lossy=True))
    assert {name: value for name, value in torch.load(tmp_path / "out.pt").items() if name != "model/w"} == {
        "extra/epoch": 3
    }


def test_values_that_a_format_has_no_place_for_are_left_out_when_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = pickled(tmp_path / "in.pt", {"w": torch.ones(2), "epoch": 3, "seen": {1, 2}})
    for format in ("npz", "pt"):
        with caplog.at_level(logging.WARNING, "deltackpt"):
            convert_path(str(source), str(tmp_path / f"out.{format}"), Conversion(format, lossy=True))
    assert set(torch.load(tmp_path / "out.pt")) == {"w", "epoch"}
    assert "'epoch' and 1 more: npz has no place for such values; left out" in caplog.text
    assert "'seen': pt has no place for such values; left out" in caplog.text


def test_a_model_that_was_pickled_whole_gives_its_weights_when_they_are_named(tmp_path: Path) -> None:
    source = pickled(tmp_path / "in.pt", Schedule())
    with pytest.raises(InvalidInputError, match=r"^in\.pt: .*Schedule cannot be converted"):
        convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt"))
    convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt", Changes("rates")))
    convert_path(str(source), str(tmp_path / "all.pt"), Conversion("pt", lossy=True))
    assert read_back(tmp_path / "out.pt") == read_back(tmp_path / "all.pt") == {"rates": ONES}


def test_in_a_list_what_stands_beside_an_object_keeps_its_place(store: Store, tmp_path: Path) -> None:
    groups = [{"lr": 0.1, "hook": Schedule}, {"lr": 0.2, "w": torch.ones(2)}]
    source = pickled(tmp_path / "in.pt", {"groups": groups, "odd": [Schedule, 1], "w": torch.ones(2)})
    store.commit_path(source)
    loaded = store.load("main")
    assert loaded.keys() == {"groups", "w"}
    assert loaded["groups"][0] == {"lr": 0.1}
    assert loaded["groups"][1]["lr"] == 0.2
    with pytest.raises(InvalidInputError, match=r"'groups/0/hook' in .*Schedule and 1 more cannot be converted"):
        convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt"))
    convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt", Changes("groups/1/*")))
    assert torch.load(tmp_path / "out.pt")["groups/1/lr"] == 0.2


def test_a_sparse_tensor_is_more_than_its_parts(tmp_path: Path) -> None:
    source = pickled(tmp_path / "in.pt", {"s": torch.eye(3).to_sparse(), "w": torch.ones(2)})
    with pytest.raises(InvalidInputError, match="'s': a PyTorch file of weights holds tensors, numbers and texts"):
        convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt"))
    convert_path(str(source), str(tmp_path / "out.pt"), Conversion("pt", Changes("w")))
    convert_path(str(source), str(tmp_path / "parts.pt"), Conversion("pt", Changes("s/*")))
    assert read_back(tmp_path / "parts.pt").keys() == {"s/indices", "s/values"}


def test_an_archive_that_is_compressed_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'args' in in\.npz: a compressed array cannot be converted"):
        convert_path(str(packed_npz(tmp_path)), str(tmp_path / "out.pt"), Conversion("pt"))


def test_values_of_a_distributed_checkpoint_are_named(store: Store, tmp_path: Path) -> None:
    state = {"model": {"w": torch.ones(2)}, "optim": {"param_groups": [{"lr": 0.1}]}, "step": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=tmp_path / "run", no_dist=True)
    store.commit_path(tmp_path / "run")
    told = r"'optimizer/optim\.param_groups\.0\.lr' in __0_0\.distcp: a value that is no tensor and 1 more cannot be"
    with pytest.raises(InvalidInputError, match=told):
        convert_path(str(tmp_path / "run"), str(tmp_path / "out.pt"), Conversion("pt"))
    with pytest.raises(InvalidInputError, match=told):
        store.export("main", tmp_path / "out.pt", Conversion("pt"))
    convert_path(str(tmp_path / "run"), str(tmp_path / "model.pt"), Conversion("pt"), part="model")
    assert read_back(tmp_path / "model.pt") == {"model.w": ONES}
    convert_path(str(tmp_path / "run"), str(tmp_path / "all.pt"), Conversion("pt", lossy=True))
    assert read_back(tmp_path / "all.pt") == {"model/model.w": ONES}


def test_in_a_folder_names_begin_with_the_part(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    pickled(folder / "model.pt", {"w": torch.ones(2), "made": datetime.date(2026, 1, 2)})
    pickled(folder / "optimizer.pt", {"state": {0: {"exp_avg": torch.ones(2), "hook": Schedule}}})
    pickled(folder / "extra.bin", {"args": argparse.Namespace(lr=0.1), "v": torch.ones(2)})
    store.commit_path(folder)
    for part, told in (
        ("model", "'made' in model.pt"),
        ("optimizer", "'state/0/hook' in optimizer.pt"),
        (None, "'extra.bin/args' in extra.bin: argparse.Namespace and 2 more"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            convert_path(str(folder), str(tmp_path / "out.pt"), Conversion("pt"), part=part)
        with pytest.raises(InvalidInputError, match=told):
            store.export("main", tmp_path / "out.pt", Conversion("pt"), part=part)
    convert_path(str(folder), str(tmp_path / "w.pt"), Conversion("pt", Changes("w")), part="model")
    convert_path(str(folder), str(tmp_path / "avg.pt"), Conversion("pt", Changes("*exp_avg")))
    assert read_back(tmp_path / "w.pt") == {"w": ONES}
    assert read_back(tmp_path / "avg.pt") == {"optimizer/state/0/exp_avg": ONES}
