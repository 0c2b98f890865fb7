"""Files that describe others: found through links within a folder, and missed loudly when they are not committed."""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
from onnx import helper, numpy_helper
from safetensors.numpy import save_file
from trees import listed

from deltackpt import DeltackptError, FormatError, Store
from deltackpt.convert.convert import Conversion, convert_path

WEIGHTS = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
GOLDEN = Path(__file__).parents[1] / "formats/golden/tensorflow"


def write_onnx(folder: Path) -> None:
    model = helper.make_model(helper.make_graph([], "g", [], [], [numpy_helper.from_array(WEIGHTS, "w")]))
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.onnx.data")


def write_shards(folder: Path) -> None:
    save_file({"a": WEIGHTS, "b": WEIGHTS + 1}, whole := folder.with_suffix(".safetensors"))
    folder.rmdir()
    convert_path(str(whole), str(folder), Conversion("safetensors", shard_bytes=WEIGHTS.nbytes))


def write_dcp(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"w": torch.from_numpy(WEIGHTS)}, checkpoint_id=folder, no_dist=True)


def write_tensorflow(folder: Path) -> None:
    shutil.copytree(GOLDEN / "saved", folder, dirs_exist_ok=True)


Case = tuple[Callable[[Path], None], str, str]
CASES: dict[str, Case] = {
    "onnx": (write_onnx, "m.onnx", "the file that holds its tensors would not be committed: 'm.onnx.data';"),
    "shards": (
        write_shards,
        "model.safetensors.index.json",
        "the files that hold its tensors would not be committed: 'model-00001-of-00002.safetensors',"
        " 'model-00002-of-00002.safetensors';",
    ),
    "dcp": (write_dcp, ".metadata", "the file that holds its tensors would not be committed: '__0_0.distcp';"),
    "tensorflow": (
        write_tensorflow,
        "ckpt.index",
        "the file that holds its tensors would not be committed: 'ckpt.data-00000-of-00001';",
    ),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def described(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A description among the files that it describes, and what is said when it is committed alone."""
    write, description, text = request.param
    (folder := tmp_path / "checkpoint").mkdir()
    write(folder)
    return folder / description, text


def data_of(folder: Path) -> Path:
    """The first file that holds tensors of others' descriptions."""
    return min(
        path
        for path in folder.iterdir()
        if path.name.endswith((".data", ".distcp", ".safetensors")) or ".data-" in path.name
    )


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "deltackpt"]


def test_a_description_alone_is_no_checkpoint(
    described: tuple[Path, str], store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path, text = described
    store.commit_path(path)
    assert f"{path}: {text} commit the folder that holds all of it; kept as it is" in caplog.text
    store.checkout("main", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    with pytest.raises(FormatError, match="commit the folder that holds all of it"):
        store.commit_path(path, strict=True)


def test_with_its_files_there_is_nothing_to_say(
    described: tuple[Path, str], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.commit_path(described[0].parent)
    assert said(caplog) == []
    typed = store.typed_bytes("main")
    assert typed is not None
    assert typed.typed > 0


def test_a_folder_that_lacks_a_file(
    described: tuple[Path, str], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = described
    (data := data_of(path.parent)).unlink()
    store.commit_path(path.parent)
    assert f"{path}: the file that holds its tensors would not be committed: {data.name!r};" in caplog.text


def test_many_absent_files_are_counted(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shards = ", ".join(f'"{n}": "model-{n}.safetensors"' for n in range(1, 8))
    (index := tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {{{shards}}}}}')
    store.commit_path(index)
    assert "'model-1.safetensors', 'model-2.safetensors', 'model-3.safetensors' and 4 more;" in caplog.text


def test_other_indexes_say_nothing(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/faces.index").write_bytes(b"IxF2" + bytes(100))
    (tmp_path / "f/docs.index.json").write_text('{"pages": 3}')
    (tmp_path / "f/deep.index.json").write_text("[" * 100_000)
    store.commit_path(tmp_path / "f")
    assert said(caplog) == []


def test_an_index_that_leads_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/m.index.json").write_text('{"weight_map": {"w": "../../etc/passwd"}}')
    with pytest.raises(FormatError, match=r"m.index.json: the file of a tensor at byte 0; .* found '../../etc/passwd'"):
        store.commit_path(tmp_path / "f", strict=True)


@pytest.mark.parametrize("kind", ["onnx", "tensorflow", "dcp"])
def test_data_behind_links_within_the_folder_is_typed(store: Store, tmp_path: Path, kind: str) -> None:
    write = CASES[kind][0]
    (folder := tmp_path / "checkpoint").mkdir()
    write(folder)
    plain = store.typed_bytes(store.commit_path(folder))
    (folder / "blobs").mkdir()
    data = data_of(folder)
    data.rename(folder / "blobs/0123")
    (folder / "blobs/latest").symlink_to("0123")
    data.symlink_to("blobs/latest")
    commit = store.commit_path(folder)
    assert store.typed_bytes(commit) == plain
    assert commit.stored_bytes < 20_000
    store.checkout("main", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(folder)
    assert os.readlink(tmp_path / "back" / data.name) == "blobs/latest"


def test_two_links_to_one_file_are_one_file(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "models").mkdir()
    write_onnx(folder)
    (folder / "n.data").symlink_to("m.onnx.data")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    model.graph.initializer.append(model.graph.initializer[0])
    model.graph.initializer[1].name = "tied"
    model.graph.initializer[1].external_data[0].value = "n.data"
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    store.commit_path(folder)
    typed = store.typed_bytes("main")
    assert typed is not None
    assert typed.typed == WEIGHTS.nbytes
    store.checkout("main", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(folder)


def test_data_by_a_hard_link_is_typed_and_comes_back_as_a_file_of_its_own(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "models").mkdir()
    write_onnx(folder)
    (data := folder / "m.onnx.data").rename(tmp_path / "outside")
    os.link(tmp_path / "outside", data)
    typed = store.typed_bytes(store.commit_path(folder))
    assert typed is not None
    assert typed.typed == WEIGHTS.nbytes
    store.checkout("main", back := tmp_path / "back")
    assert (back / data.name).stat().st_nlink == 1
    assert listed(back) == listed(folder)
    onnx.checker.check_model(back / "m.onnx")


def a_link_out(path: Path) -> None:
    path.with_name("outside").write_bytes(WEIGHTS.tobytes())
    path.with_name("outside").rename(path.parents[1] / "outside")
    path.symlink_to("../outside")


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")


@pytest.mark.parametrize("make", [a_link_out, os.mkfifo, a_device])
def test_data_that_is_no_file_of_the_folder_is_refused(
    store: Store, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (folder := tmp_path / "models").mkdir()
    write_onnx(folder)
    (folder / "m.onnx.data").unlink()
    make(folder / "m.onnx.data")
    with pytest.raises(DeltackptError, match=r"m\.onnx\.data: .*(out of the folder|cannot be committed)"):
        store.commit_path(folder)
    assert store.branches() == {}


@pytest.mark.parametrize("location", ["../w", "/etc/passwd", "a/../../w", "..\\w"])
def test_data_out_of_the_folder_is_never_looked_at(
    store: Store, tmp_path: Path, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder := tmp_path / "models").mkdir()
    write_onnx(folder)
    (folder / "m.onnx.data").rename(tmp_path / "w")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    for path in (folder, folder / "m.onnx"):
        caplog.clear()
        store.commit_path(path)
        assert "m.onnx: the location of tensor 'w' at byte " in caplog.text
    assert store.resolve("main").logical_bytes < 1000


@pytest.mark.parametrize("there", [False, True])
def test_a_tensor_of_a_type_that_is_not_known_needs_its_file_too(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, there: bool
) -> None:
    (folder := tmp_path / "f").mkdir()
    proto = onnx.TensorProto(name="w", data_type=250, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    proto.external_data.extend([onnx.StringStringEntryProto(key="location", value="m.data")])
    (folder / "m.onnx").write_bytes(
        onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [proto])).SerializeToString()
    )
    if there:
        (folder / "m.data").write_bytes(bytes(1000))
    store.commit_path(folder)
    told = f"{folder}/m.onnx: the file that holds its tensors would not be committed: 'm.data';"
    assert [told in line for line in said(caplog)] == ([] if there else [True])
    store.checkout("main", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == sorted(path.name for path in folder.iterdir())
