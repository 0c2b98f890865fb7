"""Files of ``torch.save`` and ``torch.jit.save``: their tensors are found with type, shape and bytes."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from readings import CONTAINERS, LEGACY, as_file, by_name, plain, reading_of, saved, sound, tensors

import deltackpt.formats
from deltackpt.errors import FormatError
from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Literal
from deltackpt.tensor.dtype import DTYPES

both_containers = pytest.mark.parametrize("options", CONTAINERS, ids=["zip", "legacy"])
# PyTorch itself cannot save narrow integers.
TYPES = [name for name in DTYPES if hasattr(torch, name) and not re.fullmatch("u?int[1-7]", name)]


def filled(*shape: int, dtype: str = "float32") -> torch.Tensor:
    """A tensor with no two bytes of a row alike."""
    kind = getattr(torch, dtype)
    count = torch.Size(shape).numel() * kind.itemsize
    return (torch.arange(count) % 251).to(torch.uint8).view(kind).reshape(shape)


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of nested containers under the names of a live state."""
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, (dict, list, tuple)):
        for key, item in state.items() if isinstance(state, dict) else enumerate(state):
            yield from leaves(item, f"{path}/{key}" if path else str(key))


def rebuilt(raw: bytes) -> bytes:
    """The file from its spans, tensors read as a commit reads them."""
    with as_file(raw) as file:
        spans = read(file).spans
        pieces = [
            file.read(span.offset, span.length)
            if isinstance(span, Literal)
            else FileTensor(file, span).read(0, span.length)
            for span in spans
        ]
    return b"".join(pieces)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "AdamW": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "Adagrad": torch.optim.Adagrad,
    "Adafactor": torch.optim.Adafactor,
    "LBFGS": torch.optim.LBFGS,
    "RMSprop": lambda p: torch.optim.RMSprop(p, centered=True),
}


def trained(optimizer: str) -> dict[str, Any]:
    """The whole state of a run: model, optimizer, schedule and generators."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(9, 6), torch.nn.Linear(6, 4), torch.nn.LayerNorm(4))
    steps = OPTIMIZERS[optimizer](model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 10)

    def closure() -> torch.Tensor:
        steps.zero_grad()
        loss = model(torch.tensor([[1, 2, 3]])).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        steps.step(closure)
        schedule.step()
    return {
        "model": model.state_dict(),
        "optimizer": steps.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "step": 3,
    }


@both_containers
@pytest.mark.parametrize("dtype", TYPES)
def test_every_element_type_comes_as_it_was(dtype: str, options: dict[str, Any]) -> None:
    tensor = filled(3, 8, dtype=dtype)
    raw = saved({"w": tensor}, **options)
    assert by_name(raw, sound(raw)) == {"w": plain(tensor)}
    assert rebuilt(raw) == raw


@both_containers
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_is_found_under_the_names_of_its_live_state(optimizer: str, options: dict[str, Any]) -> None:
    state = trained(optimizer)
    raw = saved(state, **options)
    found = by_name(raw, sound(raw))
    expected = {name: plain(tensor) for name, tensor in leaves(state)}
    assert expected.items() >= found.items()
    assert {content for *_, content in found.values()} == {content for *_, content in expected.values()}
    assert rebuilt(raw) == raw


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(protocol: int) -> None:
    state = trained("AdamW")
    raw = saved(state, pickle_protocol=protocol)
    assert by_name(raw, sound(raw)) == {name: plain(tensor) for name, tensor in leaves(state)}


@both_containers
def test_tied_tensors_are_one_span_under_their_first_name(options: dict[str, Any]) -> None:
    weight = filled(4, 6)
    raw = saved({"embed": weight, "head": weight, "again": weight.detach()}, **options)
    assert by_name(raw, sound(raw)) == {"embed": plain(weight)}


@both_containers
def test_a_transposed_tensor_has_the_shape_of_its_bytes(options: dict[str, Any]) -> None:
    weight, image = filled(4, 6), filled(2, 3, 4, 5).to(memory_format=torch.channels_last)
    raw = saved({"t": weight.t(), "image": image}, **options)
    assert by_name(raw, sound(raw)) == {"t": plain(weight), "image": plain(image.permute(0, 2, 3, 1))}


@both_containers
def test_a_slice_brings_all_that_it_was_cut_from(options: dict[str, Any]) -> None:
    buffer = filled(20)
    raw = saved({"w": buffer[4:10].view(2, 3)}, **options)
    assert by_name(raw, sound(raw)) == {
        "w": plain(buffer[4:10].view(2, 3)),
        "w@0": plain(buffer[:4]),
        "w@40": plain(buffer[10:]),
    }


@both_containers
def test_the_parameters_of_a_flat_buffer_are_found_one_by_one(options: dict[str, Any]) -> None:
    flat = filled(20)
    views = {"a": flat[:8].view(2, 4), "b": flat[8:9], "c": flat[9:].view(11)}
    raw = saved(views, **options)
    assert by_name(raw, sound(raw)) == {name: plain(view) for name, view in views.items()}


@both_containers
def test_a_flat_buffer_takes_its_parameters_in(options: dict[str, Any]) -> None:
    flat = filled(20)
    raw = saved({"a": flat[:8].view(2, 4), "flat": flat}, **options)
    assert by_name(raw, sound(raw)) == {"flat": plain(flat)}


@both_containers
def test_what_leaves_holes_is_kept_whole(options: dict[str, Any]) -> None:
    weight = filled(4, 6)
    raw = saved({"even": weight[:, ::2], "one": torch.ones(1).expand(1000, 1000)}, **options)
    assert by_name(raw, sound(raw)) == {"even": plain(weight.view(-1)), "one": plain(torch.ones(1))}


@both_containers
def test_odd_shapes(options: dict[str, Any]) -> None:
    state = {"scalar": torch.tensor(1.5), "none": torch.empty(0, 3), "ones": torch.ones(1, 1, 3, 1)}
    raw = saved(state, **options)
    assert by_name(raw, sound(raw)) == {name: plain(tensor) for name, tensor in state.items()}


@both_containers
def test_a_bare_tensor_has_the_empty_name(options: dict[str, Any]) -> None:
    raw = saved(filled(3), **options)
    assert by_name(raw, sound(raw)) == {"": plain(filled(3))}


@both_containers
def test_a_module_that_was_saved_whole(options: dict[str, Any]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = saved(model, **options)
    assert by_name(raw, sound(raw)) == {
        "_modules/0/_parameters/weight": plain(model[0].weight),
        "_modules/0/_parameters/bias": plain(model[0].bias),
    }


@pytest.mark.filterwarnings("ignore")
def test_sparse_and_quantized_tensors_by_their_parts() -> None:
    raw = saved({"s": torch.eye(3).to_sparse(), "q": torch.quantize_per_tensor(torch.ones(4), 0.5, 0, torch.qint8)})
    found = by_name(raw, sound(raw))
    assert {name: (dtype, shape) for name, (dtype, shape, _) in found.items()} == {
        "s/indices": ("int64", (2, 3)),
        "s/values": ("float32", (3,)),
        "q": ("int8", (4,)),
    }


def test_names_that_could_be_paths_or_are_too_long_become_numbers() -> None:
    keys = ["../x", "/abs", "a\0b", "n" * 2000, ("t", 1), b"bytes", 2.5, None, "x\ud800", 1 << 300]
    raw = saved({key: filled(i + 1) for i, key in enumerate(keys)})
    names = [span.name for span in tensors(sound(raw))]
    assert names == [
        *(f"tensor {i}" for i in range(4)),
        *("('t', 1)", "b'bytes'", "2.5", "None", r"x\ud800", "tensor 9"),
    ]


def test_equal_names_are_told_apart() -> None:
    raw = saved({"a/b": filled(1), "a": {"b": filled(2)}, "a/b~2": filled(3)})
    assert [(span.name, span.shape) for span in tensors(sound(raw))] == [
        ("a/b", (1,)),
        ("a/b~2", (2,)),
        ("a/b~2~2", (3,)),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_what_a_big_endian_host_saved_stays_bytes(dtype: torch.dtype) -> None:
    raw = saved({"w": torch.ones(4, dtype=dtype)})
    at = raw.index(b"little")
    swapped = raw[:at] + b"big" + raw[at + 3 :]
    assert reading_of(swapped).warning is not None
    # An entry of the other length, as PyTorch would write it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "byteorder", "big")
        raw = saved({"w": torch.ones(4, dtype=dtype)})
    reading = sound(raw)
    assert (reading.format, tensors(reading), reading.state) == ("pytorch", [], None)


def test_files_without_checksums_have_none_to_compare() -> None:
    torch.serialization.set_crc32_options(False)
    try:
        raw = saved({"w": filled(5)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert sound(raw).checksums == ()
    assert by_name(raw, sound(raw)) == {"w": plain(filled(5))}


def test_a_changed_tensor_is_noticed_by_its_checksum() -> None:
    raw = bytearray(saved({"w": filled(5)}))
    (span,) = tensors(sound(bytes(raw)))
    raw[span.offset] ^= 1
    reading = reading_of(bytes(raw))
    assert tensors(reading) == [span]
    with as_file(bytes(raw)) as file:
        found = first_mismatch(file, reading.checksums)
    assert isinstance(found, FormatError)
    assert str(found).startswith(f"f: the bytes of 'archive/data/0' at byte {span.offset}; expected CRC-32 ")


class Scripted(torch.nn.Module):
    """Has parameters, a buffer, a child, and a constant that only the code uses."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.register_buffer("scale", torch.arange(2.0))
        self.half = torch.ones(5, dtype=torch.float16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.scale


@pytest.mark.filterwarnings("ignore")
def test_torchscript_tensors_are_found_by_their_attributes() -> None:
    model = Scripted()
    torch.jit.save(torch.jit.script(model), buffer := io.BytesIO())
    raw = buffer.getvalue()
    reading = sound(raw)
    assert (reading.format, reading.state) == ("torchscript", None)
    assert by_name(raw, reading) == {
        "linear/weight": plain(model.linear.weight),
        "linear/bias": plain(model.linear.bias),
        "scale": plain(model.scale),
        "half": plain(model.half),
    }
    assert rebuilt(raw) == raw


@pytest.mark.filterwarnings("ignore")
def test_constants_of_traced_code_are_found() -> None:
    constant = filled(7)
    torch.jit.save(torch.jit.trace(lambda x: x + constant, torch.ones(7)), buffer := io.BytesIO())
    raw = buffer.getvalue()
    (found,) = by_name(raw, sound(raw)).items()
    assert found == ("constants/0", plain(constant))


@both_containers
def test_almost_all_bytes_of_a_run_are_typed(trained: list[dict[str, Any]], options: dict[str, Any]) -> None:
    raw = saved(trained[-1], **options)
    reading = sound(raw)
    state = list(leaves(trained[-1]))
    total = sum(
        {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for _, tensor in state}.values()
    )
    assert sum(span.length for span in tensors(reading)) == total > 0.99 * (len(raw) - 300 * len(state))
    assert rebuilt(raw) == raw


def test_a_large_file_costs_its_pickle_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = saved({"w": torch.ones(1 << 20), "n": 3})
    with as_file(raw) as file:
        amounts: list[int] = []
        whole = type(file).read
        monkeypatch.setattr(type(file), "read", lambda f, at, n: amounts.append(n) or whole(f, at, n))
        read(file)
    assert sum(amounts) < 4096


def test_sizes_beyond_32_bits_are_read(tmp_path: Path) -> None:
    # Written without data: the file is a hole of the full size.
    with torch.serialization.skip_data():
        torch.save({"a": torch.empty(5 << 30, dtype=torch.uint8), "b": torch.empty(3)}, path := tmp_path / "big.pt")
    with open_source(str(path)) as file:
        reading = read(file)
    assert reading.warning is None
    assert [(span.name, span.length, span.offset > 1 << 32) for span in tensors(reading)] == [
        ("a", 5 << 30, False),
        ("b", 12, True),
    ]


def test_a_saved_file_is_the_same_in_a_process_without_torch(tmp_path: Path) -> None:
    (path := tmp_path / "m.pt").write_bytes(saved({"w": filled(3)}))
    code = (
        "import sys; from deltackpt.formats.sniff import read; from deltackpt.formats.source_file import open_source\n"
        "with open_source(sys.argv[1]) as file: print([s.name for s in read(file).spans if hasattr(s, 'name')])\n"
        "assert not {'torch', 'pickle', 'zipfile'} & sys.modules.keys(), sys.modules.keys()"
    )
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert found.stdout == "['w']\n"


def test_no_reader_imports_what_could_run_a_file() -> None:
    dangerous = {"pickle", "torch", "zipfile", "importlib", "marshal", "shelve", "subprocess", "os.system"}
    for path in Path(deltackpt.formats.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not dangerous & {name.split(".")[0] for name in names}, path
            assert not (isinstance(node, ast.Name) and node.id in {"eval", "exec", "__import__", "getattr"}), path


def test_legacy_files_end_with_their_last_storage() -> None:
    raw = saved({"w": filled(3)}, **LEGACY)
    for damaged, text in (
        (raw + b"x", "trailing bytes"),
        (raw[:-1], "the data is cut off"),
        (raw[:-15], "the data is cut off"),
    ):
        reading = reading_of(damaged)
        assert (reading.format, reading.spans) == ("pytorch legacy", (Literal(0, len(damaged)),))
        assert text in str(reading.warning)


def test_a_long_pickle_of_a_legacy_file_is_read_to_its_end() -> None:
    state = {"text": "x" * 3_000_000, "w": filled(3)}
    raw = saved(state, **LEGACY)
    assert by_name(raw, sound(raw)) == {"w": plain(filled(3))}
