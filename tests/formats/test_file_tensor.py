"""A tensor in a file is read by range, from several threads, and never as a whole."""

from __future__ import annotations

import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deltackpt.errors import FormatError
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.safetensors import layout, read_spans
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import TensorSpan
from deltackpt.tensor.dtype import DTYPES
from deltackpt.tensor.source import TensorSource

SIZE = 1 << 36


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, TensorSpan]:
    (path := tmp_path / "f").write_bytes(b"head" + bytes(range(200)))
    return path, TensorSpan("w", DTYPES["uint8"], (200,), 4, 200)


def test_it_is_a_tensor_source(small: tuple[Path, TensorSpan]) -> None:
    path, span = small
    with open_source(str(path)) as file:
        tensor: TensorSource = FileTensor(file, span)
        assert (tensor.dtype, tensor.shape) == (DTYPES["uint8"], (200,))
        assert tensor.read(10, 13) == b"\x0a\x0b\x0c"
        assert tensor.read(200, 200) == b""
        tensor.release()
        assert tensor.read(0, 1) == b"\x00"


@pytest.mark.parametrize("wanted", [(-1, 3), (3, 2), (0, 201), (201, 201)])
def test_a_range_outside_the_tensor_is_a_mistake_of_the_caller(
    small: tuple[Path, TensorSpan], wanted: tuple[int, int]
) -> None:
    path, span = small
    with open_source(str(path)) as file, pytest.raises(ValueError, match="of a tensor of 200"):
        FileTensor(file, span).read(*wanted)


def test_many_threads_read_one_file(small: tuple[Path, TensorSpan]) -> None:
    path, span = small
    with open_source(str(path)) as file, ThreadPoolExecutor(8) as pool:
        tensor = FileTensor(file, span)
        ranges = [(start, min(start + 7, 200)) for _ in range(20) for start in range(0, 200, 7)]
        pieces = list(pool.map(lambda r: bytes(tensor.read(*r)), ranges))
    assert b"".join(pieces) == bytes(range(200)) * 20


def test_a_file_that_shrinks_under_the_tensor_is_a_typed_error(small: tuple[Path, TensorSpan]) -> None:
    path, span = small
    with open_source(str(path)) as file:
        tensor = FileTensor(file, span)
        os.truncate(path, 104)
        assert len(tensor.read(0, 100)) == 100
        with pytest.raises(FormatError, match="the file shrank at byte 104; expected 50 more bytes"):
            tensor.read(50, 150)


def test_a_tensor_far_larger_than_memory_costs_only_what_is_read(tmp_path: Path) -> None:
    header, (span,) = layout([("w", DTYPES["float32"], (SIZE // 4,))])
    with (path := tmp_path / "sparse.safetensors").open("wb") as handle:
        handle.write(header)
        handle.truncate(len(header) + SIZE)
        os.pwrite(handle.fileno(), b"end!", len(header) + SIZE - 4)
    tracemalloc.start()
    with open_source(str(path)) as file:
        _, found = read_spans(file)
        assert found == span
        assert FileTensor(file, span).read(SIZE - 8, SIZE) == b"\0\0\0\0end!"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
