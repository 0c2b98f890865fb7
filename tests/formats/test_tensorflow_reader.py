"""TensorFlow checkpoints as TensorFlow wrote them: variables are typed in the data files, the rest is literal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import google_crc32c
import ml_dtypes
import numpy as np
from environments import TENSORFLOW
from folders import folder_of, reading_of, tensors_below
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.formats.crc32c import crc32c
from deltackpt.formats.spans import Literal
from deltackpt.formats.tensorflow.bundle import VARIABLE_SUFFIX

HERE = Path(__file__).parent
GOLDEN = HERE / "golden/tensorflow"
FLOATS = ("float32", "float64", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn", "complex64", "complex128")
WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))


def test_every_element_type_is_read() -> None:
    found = tensors_below(GOLDEN / "saved")["ckpt.data-00000-of-00001"]
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name in (*FLOATS, *WHOLE, "bool"):
        span, plain = found[name]
        expected = values.astype(getattr(ml_dtypes, name, name))
        assert (span.dtype.name, span.shape, plain) == (name, (2, 3), expected.tobytes())
    assert found["scalar"][1] == np.float32(1.5).tobytes()
    assert (found["empty"][0].shape, found["empty"][1]) == ((0, 3), b"")
    assert len(found) == len(FLOATS) + len(WHOLE) + 3


def test_only_what_is_no_variable_stays_literal() -> None:
    size = (GOLDEN / "saved/ckpt.data-00000-of-00001").stat().st_size
    files = reading_of(GOLDEN / "saved").files
    literals = [span for span in files["ckpt.data-00000-of-00001"].spans if isinstance(span, Literal)]
    assert sum(span.length for span in literals) == len(b"\x01\x02xyz") + 4  # the text and its checksum
    assert size == 451


def test_variables_of_an_object_have_the_names_that_people_gave_them() -> None:
    found = tensors_below(GOLDEN / "object")["ckpt-10.data-00000-of-00001"]
    assert list(found) == ["save_counter", "model/step", "model/layer/kernel", "model/layer/bias"]
    span, plain = found["model/layer/kernel"]
    assert np.array_equal(np.frombuffer(plain, np.float32).reshape(span.shape), np.arange(12.0).reshape(3, 4))


def test_slices_are_tensors_of_their_own_shards() -> None:
    found = tensors_below(GOLDEN / "sliced")
    assert {path: list(tensors) for path, tensors in found.items()} == {
        "ckpt.data-00000-of-00002": ["w", "only0"],
        "ckpt.data-00001-of-00002": ["w#2", "only1"],
    }
    rows = [tensors[name][1] for tensors, name in zip(found.values(), ("w", "w#2"), strict=True)]
    assert b"".join(rows) == np.arange(24, dtype=np.float32).tobytes()


def test_indexes_and_lists_of_checkpoints_are_files_like_any_other() -> None:
    files = reading_of(GOLDEN).files
    assert set(folder_of(GOLDEN).sizes) - set(files) == {
        *("object/checkpoint", "object/ckpt-10.index", "saved/ckpt.index", "sliced/ckpt.index"),
    }
    assert {file.format for file in files.values()} == {"tensorflow"}


def test_a_copy_without_a_shard_or_an_index(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "sliced", tmp_path, dirs_exist_ok=True)
    (tmp_path / "ckpt.data-00000-of-00002").unlink()
    assert list(reading_of(tmp_path).files) == ["ckpt.data-00001-of-00002"]
    (tmp_path / "ckpt.index").unlink()
    assert reading_of(tmp_path).files == {}


@given(st.binary(max_size=2000) | st.integers(0, 200_000).map(lambda size: bytes(range(251)) * (size // 251)))
def test_the_checksum_is_the_librarys(data: bytes) -> None:
    assert crc32c(data) == google_crc32c.value(data)


@TENSORFLOW.wanted
def test_tensorflow_reads_the_same_from_files_it_has_just_written(tmp_path: Path) -> None:
    TENSORFLOW.run(HERE / "golden/make_tensorflow.py", tmp_path)
    prefixes = ("saved/ckpt", "object/ckpt-10")
    told = TENSORFLOW.run(HERE / "read_tensorflow.py", *(tmp_path / prefix for prefix in prefixes)).splitlines()
    for prefix, theirs in zip(prefixes, map(json.loads, told), strict=True):
        found = tensors_below(tmp_path)[f"{prefix}.data-00000-of-00001"]
        assert {name.removesuffix(VARIABLE_SUFFIX): (shape, raw) for name, (_, shape, raw) in theirs.items()} == {
            name: (list(span.shape), plain.hex()) for name, (span, plain) in found.items()
        }
