"""Random number generators: Python's, NumPy's, torch's on the CPU and on every CUDA device."""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import torch


def rng_state() -> dict[str, Any]:
    """Where each generator stands."""
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": {"version": version, "words": _as_tensor(words), "gauss": gauss},
        "torch": torch.get_rng_state(),
    }
    if numpy := sys.modules.get("numpy"):
        name, keys, position, has_gauss, cached = numpy.random.get_state()
        state["numpy"] = {
            "name": str(name),
            "keys": torch.from_numpy(keys.astype("int64")),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _as_tensor(words: Sequence[int]) -> torch.Tensor:
    """Without a look at each number, which takes longer than all else here."""
    return torch.frombuffer(array("q", words), dtype=torch.int64)


def restore_rng(state: dict[str, Any]) -> list[str]:
    """Set each generator; returns those of which the state cannot be used here."""
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        import numpy

        saved = state["numpy"]
        keys = saved["keys"].numpy().astype("uint32")
        numpy.random.set_state((saved["name"], keys, saved["position"], saved["has_gauss"], saved["cached"]))
    devices = state.get("cuda", [])
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if len(devices) == present:
        if devices:
            torch.cuda.set_rng_state_all(devices)
        return []
    return [f"random numbers of {len(devices)} CUDA devices, here are {present}"] if devices else []
