"""Tensors of every element type with all kinds of bits, and files read back with our own readers."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np
import torch

from deltackpt.convert.of_path import state_of_path
from deltackpt.tensor.dtype import DTYPES

Plain = dict[str, tuple[str, tuple[int, ...], bytes]]
"""Element type, shape and plain bytes by name."""

FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
SHAPES = {"matrix": (2, 3), "scalar": (), "empty": (0, 4), "one/deep": (1, 2, 1, 3)}


def plain(types: Iterable[str]) -> Plain:
    """A matrix of each type, and other shapes of float32; NaNs and denormals are among the values."""
    random = np.random.default_rng(7)
    forms = {**{f"type/{name}": (name, SHAPES["matrix"]) for name in types}}
    forms |= {f"shape/{name}": ("float32", shape) for name, shape in SHAPES.items()}
    made = {}
    for name, (dtype, shape) in forms.items():
        raw = random.bytes(prod(shape) * DTYPES[dtype].itemsize)
        made[name] = (dtype, shape, bytes(byte & 1 for byte in raw) if dtype == "bool" else raw)
    return made


def saved(path: Path, tensors: Plain) -> Path:
    """A PyTorch file with these tensors."""
    torch.save({name: _tensor(*form) for name, form in tensors.items()}, path)
    return path


def _tensor(dtype: str, shape: tuple[int, ...], raw: bytes) -> torch.Tensor:
    kind = getattr(torch, dtype)
    return torch.frombuffer(bytearray(raw), dtype=kind).reshape(shape) if raw else torch.empty(shape, dtype=kind)


def read_back(path: Path, part: str | None = None) -> Plain:
    """What our own reader finds."""
    with state_of_path(str(path), part) as state:
        return {one.name: (one.dtype.name, one.shape, bytes(one.read())) for one in state.tensors}
