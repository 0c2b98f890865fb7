"""A state through its skeletons and back, as a store would do it; and equality that overlooks nothing."""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np
import torch

from deltackpt.skeleton.capture import Captured, capture
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.table import TensorInfo
from deltackpt.skeleton.write import write_skeleton


class Shelf:
    """What a commit would keep of a captured state: skeletons, tables and plain bytes.

    Each skeleton is also read, and must be written again as it was.
    """

    def __init__(self, captured: Captured) -> None:
        self.skeletons = {part.name: part.skeleton for part in captured.parts}
        for name, raw in self.skeletons.items():
            assert write_skeleton(read_skeleton(raw, name)) == raw, name
        self.tables = {
            part.name: [TensorInfo(t.name, t.source.dtype, t.source.shape) for t in part.tensors]
            for part in captured.parts
        }
        self.plain = {
            (part.name, index): bytes(tensor.source.read(0, size_of(tensor.source)))
            for part in captured.parts
            for index, tensor in enumerate(part.tensors)
        }

    def names(self, part: str) -> list[str]:
        return [info.name for info in self.tables[part]]

    def stored_bytes(self) -> int:
        return sum(map(len, self.plain.values()))

    def load(self, device: Any = None, **chosen: Any) -> Any:
        restoration = Restoration(self.skeletons, self.tables, **chosen)
        for key, destination in restoration.destinations.items():
            assert len(destination) == len(self.plain[key])
            destination[:] = self.plain[key]
        return restoration.build(device)


def size_of(source: Any) -> int:
    return int(np.prod(source.shape, dtype=np.int64)) * source.dtype.itemsize


def shelved(state: Any) -> Shelf:
    return Shelf(capture(state))


def through(state: Any, **chosen: Any) -> Any:
    return shelved(state).load(**chosen)


def bits(tensor: torch.Tensor) -> bytes:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}.get(tensor.itemsize)
    return tensor.view(whole or tensor.dtype).contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(one: Any, other: Any, where: str = "state") -> None:
    """Equal type for type and bit for bit, dictionaries also in order."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        _same_tensor(one, other, where)
    elif isinstance(one, np.ndarray | np.generic):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert _raw(one) == _raw(other), where
    elif isinstance(one, dict):
        _same_dict(one, other, where)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{index}]")
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    else:
        assert _exact(one) == _exact(other), where


def _raw(array: Any) -> bytes:
    """All bytes of an array, padding between fields included."""
    return bytes(array.view(f"V{array.itemsize}").tobytes() if array.dtype.names else array.tobytes())


def _same_tensor(one: torch.Tensor, other: torch.Tensor, where: str) -> None:
    assert (one.dtype, one.shape, one.layout, one.requires_grad) == (
        other.dtype,
        other.shape,
        other.layout,
        other.requires_grad,
    ), where
    if one.layout is not torch.strided:
        assert torch.equal(one.to_dense(), other.to_dense()), where
        return
    assert one.stride() == other.stride(), where
    assert bits(one) == bits(other), where


def _same_dict(one: dict[Any, Any], other: dict[Any, Any], where: str) -> None:
    assert [_exact(key) for key in one] == [_exact(key) for key in other], where
    if isinstance(one, defaultdict):
        assert one.default_factory is other.default_factory, where
    if isinstance(one, OrderedDict):
        assert vars(one) == vars(other), where
    for (key, a), b in zip(one.items(), other.values(), strict=True):
        assert_same(a, b, f"{where}[{key!r}]")


def _exact(value: Any) -> Any:
    """Something whose equality tells 1 from True and 1.0, 0.0 from -0.0, and one NaN from another."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("<d", value)
    if kind is complex:
        return kind, struct.pack("<dd", value.real, value.imag)
    if kind is tuple:
        return kind, tuple(map(_exact, value))
    if kind in (set, frozenset):
        return kind, frozenset(Counter(map(_exact, value)).items())
    if isinstance(value, enum.Enum):
        return kind, value
    return kind, value
