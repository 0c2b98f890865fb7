"""ONNX models as the official library writes them: raw data is typed wherever it is, and the file comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from folders import reading_of, tensors_below
from onnx import TensorProto, helper, numpy_helper
from rebuilding import check_round_trip, contents

from deltackpt import Store
from deltackpt.formats.onnx import external_tensors, recognises
from deltackpt.formats.onnx.codes import form_of
from deltackpt.formats.sniff import sniff
from deltackpt.formats.source_file import open_source

RNG = np.random.default_rng(3)
WEIGHTS = RNG.standard_normal((64, 128)).astype(np.float32)

Arrays = dict[str, np.ndarray[Any, Any]]

ARRAYS: Arrays = {
    "w": WEIGHTS,
    "half": WEIGHTS[:2].astype(np.float16),
    "bf16": WEIGHTS[:2].astype(ml_dtypes.bfloat16),
    "e4m3": WEIGHTS[:2].astype(ml_dtypes.float8_e4m3fn),
    "e5m2": WEIGHTS[:2].astype(ml_dtypes.float8_e5m2),
    "double": WEIGHTS[:2].astype(np.float64),
    "complex": WEIGHTS[:2].astype(np.complex64),
    "bool": WEIGHTS[:2] > 0,
    "scalar": np.array(3, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    **{f"{sign}int{bits}": np.arange(6).astype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def model_of(initializers: list[TensorProto], nodes: list[onnx.NodeProto] = [], **more: Any) -> onnx.ModelProto:  # noqa: B006
    graph = helper.make_graph(nodes, "graph", [], [], initializers, **more)
    return helper.make_model(graph, producer_name="a test", producer_version="1", doc_string="what it is")


def saved(path: Path, model: onnx.ModelProto, **options: Any) -> Path:
    onnx.save(model, path, **options)
    return path


def every_array() -> onnx.ModelProto:
    return model_of([numpy_helper.from_array(array, name) for name, array in ARRAYS.items()])


def test_every_initializer_is_found_with_its_bytes(tmp_path: Path) -> None:
    found = contents(saved(tmp_path / "m.onnx", every_array()))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        span, plain = found[name]
        assert (span.dtype.name, span.shape, plain) == (array.dtype.name, array.shape, array.tobytes())
    size = (tmp_path / "m.onnx").stat().st_size
    assert sum(span.length for span, _ in found.values()) > 0.95 * size


def test_a_model_comes_back(tmp_path: Path, store: Store) -> None:
    check_round_trip(store, saved(tmp_path / "m.onnx", every_array()))
    assert np.array_equal(store.reader("main").tensor("w")[3:5], WEIGHTS[3:5])


def test_packed_floats_are_typed_and_varints_are_not(tmp_path: Path) -> None:
    model = model_of(
        [
            helper.make_tensor("floats", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
            helper.make_tensor("doubles", TensorProto.DOUBLE, [1, 2], [1.0, 2.0]),
            helper.make_tensor("complex", TensorProto.COMPLEX64, [1], [1 + 2j]),
            helper.make_tensor("ints", TensorProto.INT32, [2], [1, -2]),
            helper.make_tensor("longs", TensorProto.INT64, [2], [1, -2]),
            helper.make_tensor("halves", TensorProto.FLOAT16, [2], [1.0, 2.0]),
            helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"b"]),
        ]
    )
    found = contents(saved(tmp_path / "m.onnx", model))
    assert {name: (span.dtype.name, span.shape) for name, (span, _) in found.items()} == {
        "floats": ("float32", (3,)),
        "doubles": ("float64", (1, 2)),
        "complex": ("complex64", (1,)),
    }
    assert found["floats"][1] == np.array([1, 2, 3], np.float32).tobytes()
    assert found["complex"][1] == np.array([1 + 2j], np.complex64).tobytes()


@pytest.mark.parametrize(
    ("kind", "dims", "nbytes", "form"),
    [
        (TensorProto.INT4, (3, 4), 6, ("uint8", (3, 2))),
        (TensorProto.UINT4, (3, 3), 5, ("uint8", (5,))),
        (TensorProto.INT4, (), 1, ("uint8", (1,))),
        (TensorProto.FLOAT4E2M1, (3, 4), 6, ("float4_e2m1fn_x2", (3, 2))),
        (TensorProto.INT2, (3, 8), 6, ("uint8", (3, 2))),
        (TensorProto.UINT2, (3,), 1, ("uint8", (1,))),
        (TensorProto.FLOAT6E2M3, (4,), 3, ("uint8", (3,))),
    ],
)
def test_values_that_share_a_byte_are_bytes(
    tmp_path: Path, kind: int, dims: tuple[int, ...], nbytes: int, form: tuple[str, tuple[int, ...]]
) -> None:
    tensor = TensorProto(name="t", data_type=kind, dims=dims, raw_data=bytes(range(nbytes)))
    ((span, plain),) = contents(saved(tmp_path / "m.onnx", model_of([tensor]))).values()
    assert ((span.dtype.name, span.shape), plain) == (form, bytes(range(nbytes)))


def test_the_table_has_every_type_with_plain_bytes() -> None:
    without = {"UNDEFINED", "STRING", "FLOAT6E2M3", "FLOAT6E3M2"}
    for name, number in TensorProto.DataType.items():
        assert (form_of(number, (8,)) is None) == (name in without)


def test_tensors_within_attributes_and_graphs_are_named_after_their_place(tmp_path: Path, store: Store) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(WEIGHTS[0], "v"))
    inner = helper.make_graph([constant], "inner", [], [], [numpy_helper.from_array(WEIGHTS[1], "/w0")])
    choice = helper.make_node("If", ["cond"], ["/out"], name="/If", then_branch=inner, else_branch=inner)
    listed = helper.make_node("Listed", [], ["l"], tensors=[numpy_helper.from_array(row) for row in WEIGHTS[:2]])
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(WEIGHTS[0, :2], "sparse"), numpy_helper.from_array(np.array([1, 2])), [10]
    )
    twins = [numpy_helper.from_array(WEIGHTS[2], name) for name in ("/a", "a", "b")]
    model = model_of(twins, [choice, listed, constant], sparse_initializer=[sparse])
    model.functions.append(helper.make_function("domain", "f", [], ["c"], [constant], []))
    path = saved(tmp_path / "m.onnx", model)
    found = contents(path)
    assert list(found) == [
        *("out/else_branch/c/value", "out/else_branch/w0", "out/then_branch/c/value", "out/then_branch/w0"),
        *("l/tensors", "l/tensors/1", "c/value", "a", "a#2", "b", "sparse", "indices", "f/c/value"),
    ]
    assert found["c/value"][1] == WEIGHTS[0].tobytes()
    assert found["l/tensors/1"][1] == WEIGHTS[1].tobytes()
    check_round_trip(store, path)


def test_external_data_is_typed_by_the_model_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    saved(
        tmp_path / "sub/m.onnx",
        every_array(),
        save_as_external_data=True,
        location="m.onnx.data",
        size_threshold=0,
    )
    found = tensors_below(tmp_path)
    assert list(found) == ["sub/m.onnx.data"]
    for name, (span, plain) in found["sub/m.onnx.data"].items():
        array = ARRAYS[name]
        assert (span.dtype.name, span.shape, plain) == (array.dtype.name, array.shape, array.tobytes())
    assert len(found["sub/m.onnx.data"]) == len(ARRAYS)
    assert contents(tmp_path / "sub/m.onnx") == {}


def test_a_file_for_each_tensor(tmp_path: Path) -> None:
    model = model_of([numpy_helper.from_array(row, f"row{i}") for i, row in enumerate(WEIGHTS[:3])])
    saved(tmp_path / "m.onnx", model, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    found = tensors_below(tmp_path)
    assert {path: list(tensors) for path, tensors in found.items()} == {f"row{i}": [f"row{i}"] for i in range(3)}


def test_two_models_may_share_their_data(tmp_path: Path) -> None:
    rows = [numpy_helper.from_array(row, f"row{i}") for i, row in enumerate(WEIGHTS[:4])]
    options = {"save_as_external_data": True, "location": "shared.data", "size_threshold": 0}
    saved(tmp_path / "whole.onnx", model_of(rows), **options)
    external = onnx.load(tmp_path / "whole.onnx", load_external_data=False)
    del external.graph.initializer[2:]
    external.graph.initializer[0].name = "first"
    (tmp_path / "part.onnx").write_bytes(external.SerializeToString())
    found = tensors_below(tmp_path)["shared.data"]
    assert list(found) == ["first", "row1", "row2", "row3"]


def test_tied_tensors_count_once_and_missing_files_are_left_out(tmp_path: Path) -> None:
    options = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    saved(tmp_path / "m.onnx", model_of([numpy_helper.from_array(WEIGHTS, "w")]), **options)
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    model.graph.initializer.append(model.graph.initializer[0])
    model.graph.initializer[1].name = "tied"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert list(tensors_below(tmp_path)["m.data"]) == ["w"]
    with open_source(str(tmp_path / "m.onnx")) as file:
        assert [(tensor.location, tensor.span.name) for tensor in external_tensors(file)] == [
            ("m.data", "w"),
            ("m.data", "tied"),
        ]
    (tmp_path / "m.data").unlink()
    assert reading_of(tmp_path).files == {}


def test_what_is_recognised(tmp_path: Path) -> None:
    path = saved(tmp_path / "anything", model_of([]), format="protobuf")
    with open_source(str(path)) as file:
        found = sniff(file)
    assert found is not None
    assert found.name == "onnx"
    long = model_of([])
    long.doc_string = "x" * 1000
    assert recognises(long.SerializeToString()[:512])
    plain = onnx.ModelProto(ir_version=8)
    assert not recognises(plain.SerializeToString())
    for other in (
        b"",
        b"\x08",
        b"\x08\x01",
        b"\x08\x01\x12\xff\x7f" + bytes(507),  # a SavedModel, whose second field is its graph
        b"\x08\x04\x12\x80\x20" + bytes(507),  # a CoreML model, whose second field is a description
        b"\x08\x80\x80\x80\x80\x10\x3a\x01\x00",
        b"\x12\x01a\x3a\x00",
        b"\x08\x08\x08\x08\x3a\x00",
        b"\x08\x08\x38\x00",
        b"backspace",
        bytes(512),
    ):
        assert not recognises(other)
