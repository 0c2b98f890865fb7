"""One step of a run as the contenders get it: the live state, its tensors by name, and a file of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.runs import State, load, nbytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``tensors`` share memory with ``state``; ``rest`` is everything else, as JSON. ``file`` is a safetensors
    file of both. It was just written and is in the page cache; the next snapshot overwrites it."""

    step: int
    state: State
    tensors: dict[str, torch.Tensor]
    rest: str
    file: Path
    nbytes: int


def take(run: str, step: int, folder: Path) -> Snapshot:
    """Step ``step`` of ``run``, its file written below ``folder``."""
    state = load(run, step)
    tensors, rest = flatten(state)
    file = folder / "state.safetensors"
    save_file(tensors, file, {"rest": rest})
    return Snapshot(step, state, tensors, rest, file, nbytes(state))


def flatten(state: State) -> tuple[dict[str, torch.Tensor], str]:
    """Tensors by path, a tied tensor under its first name only; and the other leaves as JSON."""
    leaves = dict(_leaves(state, ""))
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, leaf in leaves.items():
        if isinstance(leaf, torch.Tensor) and leaf.data_ptr() not in seen:
            seen.add(leaf.data_ptr())
            tensors[name] = leaf.contiguous()
    return tensors, json.dumps({n: leaf for n, leaf in leaves.items() if not isinstance(leaf, torch.Tensor)})


def missing_tensors(snapshot: Snapshot, file: Path) -> int:
    """How many tensors of ``snapshot`` are not, bit for bit, in the safetensors file ``file``."""
    with safe_open(file, "pt") as found:
        present = {_print(found.get_tensor(name)) for name in found.keys()}  # noqa: SIM118 - not a mapping
    return len({_print(t) for t in snapshot.tensors.values()} - present)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            items = value.items()
        case list() | tuple() if not all(isinstance(item, int | float | None) for item in value):
            items = enumerate(value)
        case _:
            yield path, value
            return
    for key, item in items:
        yield from _leaves(item, f"{path}/{key}" if path else str(key))


def _print(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], int]:
    plain = tensor.contiguous().flatten().view(torch.uint8).numpy()
    return str(tensor.dtype), tuple(tensor.shape), xxhash.xxh3_128_intdigest(plain)
