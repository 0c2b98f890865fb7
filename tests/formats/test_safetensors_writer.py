"""Writing: the official library's file, byte for byte, and a refusal for what the format cannot hold."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from test_safetensors_reader import names, spans_of

from deltackpt.errors import DeltackptError, InvalidInputError, LimitError, UnsafeError
from deltackpt.formats.names import SAFE_NAME
from deltackpt.formats.safetensors import layout
from deltackpt.formats.spans import Literal
from deltackpt.tensor.dtype import DTYPES, DType

WRITABLE = [dtype for dtype in DTYPES.values() if dtype.safetensors]
F32 = DTYPES["float32"]

descriptions = st.dictionaries(
    names,
    st.tuples(st.sampled_from(WRITABLE), st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)),
    max_size=8,
)
metadata = st.none() | st.dictionaries(
    st.text('ab\n"\\é\0', max_size=5), st.text("cd\t\u2028😀", max_size=5), max_size=1
)


def written(tensors: dict[str, torch.Tensor], facts: dict[str, str] | None) -> bytes:
    """A file as a caller of ``layout`` makes it: the header, then each tensor's bytes at its offset."""
    header, spans = layout([(n, DTYPES[str(t.dtype)[6:]], tuple(t.shape)) for n, t in tensors.items()], facts)
    out = bytearray(header)
    for span in spans:
        assert span.offset == len(out)
        out += tensors[span.name].flatten().view(torch.uint8).numpy().tobytes()
    return bytes(out)


def filled(dtype: DType, shape: tuple[int, ...]) -> torch.Tensor:
    raw = torch.arange(prod(shape) * dtype.itemsize, dtype=torch.int64).to(torch.uint8)
    return raw.view(getattr(torch, dtype.name)).reshape(shape)


@settings(max_examples=150, deadline=None)
@given(descriptions, metadata)
def test_the_file_is_the_official_one_byte_for_byte(
    described: dict[str, tuple[DType, tuple[int, ...]]], facts: dict[str, str] | None
) -> None:
    if not described and facts == {}:
        return  # the official library writes JSON here that nothing can read
    tensors = {name: filled(dtype, shape) for name, (dtype, shape) in described.items()}
    raw = written(tensors, facts)
    assert raw == save(tensors, facts)
    header, spans = layout([(name, dtype, shape) for name, (dtype, shape) in described.items()], facts)
    assert spans_of(raw) == (Literal(0, len(header)), *spans)


def test_all_element_types_in_the_official_order() -> None:
    tensors = {dtype.name: filled(dtype, (2,)) for dtype in WRITABLE}
    assert written(tensors, {"format": "pt"}) == save(tensors, {"format": "pt"})


def test_scalars_have_no_dimensions() -> None:
    tensors = {"s": torch.tensor(1.5), "b": torch.tensor(True)}
    assert written(tensors, None) == save(tensors)


def test_the_golden_header() -> None:
    header, spans = layout([("b", DTYPES["bool"], (1,)), ("a", F32, ())], {"z": "1", "a": "é"})
    text = (
        '{"__metadata__":{"a":"é","z":"1"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
        '"b":{"dtype":"BOOL","shape":[1],"data_offsets":[4,5]}}   '
    )
    assert header == (144).to_bytes(8, "little") + text.encode()
    assert [(span.name, span.offset, span.length) for span in spans] == [("a", 152, 4), ("b", 156, 1)]


def test_the_order_of_the_arguments_does_not_matter() -> None:
    described = [("w", F32, (2,)), ("b", DTYPES["int64"], (1,)), ("a", F32, (3,))]
    assert layout(described, {"x": "1", "y": "2"}) == layout(described[::-1], {"y": "2", "x": "1"})


def test_nothing_is_a_file_too() -> None:
    assert layout([]) == ((8).to_bytes(8, "little") + b"{}      ", ())
    header, _ = layout([], {})
    assert load(header) == {}


def refusal(error: type[DeltackptError], *tensors: tuple[str, DType, tuple[int, ...]], **facts: object) -> str:
    with pytest.raises(error) as caught:
        layout(tensors, facts)
    return str(caught.value)


def test_two_tensors_with_one_name_are_refused() -> None:
    message = refusal(InvalidInputError, ("w", F32, (1,)), ("w", DTYPES["int8"], (2,)))
    assert message == "two tensors are named 'w'; a file needs distinct names"


def test_the_key_of_the_metadata_is_no_name() -> None:
    message = refusal(InvalidInputError, ("__metadata__", F32, (1,)))
    assert message == "__metadata__ is the format's own key; rename the tensor"


@pytest.mark.parametrize("name", ["complex32", "complex128"])
def test_an_element_type_without_a_code_is_refused_with_advice(name: str) -> None:
    message = refusal(InvalidInputError, ("w", DTYPES[name], (1,)))
    assert message == f"tensor 'w': safetensors has no {name}; convert it to another type or leave it out"


def test_half_a_byte_cannot_be_described() -> None:
    message = refusal(InvalidInputError, ("w", DTYPES["float4_e2m1fn_x2"], ()))
    assert message == "tensor 'w': safetensors has no float4_e2m1fn_x2 scalar; reshape it to (1,)"


def test_half_a_character_cannot_be_written() -> None:
    message = refusal(InvalidInputError, ("w\ud800", F32, ()))
    assert message == r"a name holds half of a surrogate pair, '\ud800'; use whole characters"
    message = refusal(InvalidInputError, k="\udc00")
    assert message == r"the header holds half of a surrogate pair, '\udc00'; use whole characters"


def test_metadata_is_text_only() -> None:
    assert refusal(InvalidInputError, k=1) == "metadata 'k': 1: safetensors holds strings only; convert it"


def test_a_name_that_the_reader_calls_unsafe_is_not_written() -> None:
    message = refusal(UnsafeError, ("../w", F32, ()))
    assert message == f"tensor '../w' cannot go into a file; rename it: {SAFE_NAME}"


def test_the_limits_of_the_reader_are_those_of_the_writer() -> None:
    most = "a safetensors file holds at most"
    assert refusal(LimitError, ("w", F32, (1,) * 65)) == f"65 dimensions of tensor 'w'; {most} 64"
    message = refusal(LimitError, ("w", F32, (0, 1 << 61)))
    assert message == f"9223372036854775808 bytes of tensor 'w'; {most} 9223372036854775807"
    message = refusal(LimitError, ("é" * 2049, F32, ()))
    assert message == f"4098 bytes in the name '{'é' * 80}'... (2049 characters); {most} 4096"
    message = refusal(LimitError, **{str(i): "" for i in range(65_537)})
    assert message == f"65537 keys of metadata; {most} 65536"
    message = refusal(LimitError, k="v" * 100_000_000)
    assert message == f"100000032 bytes of header; {most} 100000000"
