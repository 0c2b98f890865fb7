"""Folders written by torch.distributed.checkpoint: by one process, or by a group of them over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

WEIGHT = torch.arange(40.0).reshape(5, 8)
BIAS = torch.arange(3, dtype=torch.bfloat16)


def save_alone(folder: Path) -> dict[str, Any]:
    """A trained model and its optimizer, without a process group; the state that was saved."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.Linear(5, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optim": optimizer.state_dict(), "step": 3, "notes": {"tags": ["a", 1]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder, no_dist=True)
    return state


def smallest() -> dict[str, bytes]:
    """The files of a folder with one tensor and one number."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"w": torch.arange(4.0), "step": 3}, checkpoint_id=folder, no_dist=True)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def save_in_a_group(folder: Path, world: int = 2) -> None:
    """``weight`` is cut into uneven rows, ``columns`` into columns; ``bias`` is the same on all ranks."""
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "WORLD_SIZE": str(world)}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(folder)], env=environment | {"RANK": str(rank)})
        for rank in range(world)
    ]
    assert [rank.wait() for rank in ranks] == [0] * world


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _rank(folder: str) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    state = {
        "model": {
            "weight": distribute_tensor(WEIGHT, mesh, [Shard(0)]),
            "columns": distribute_tensor(WEIGHT, mesh, [Shard(1)]),
            "one": distribute_tensor(WEIGHT[:1], mesh, [Shard(0)]),
            "bias": BIAS,
        },
        "lr": 0.1,
    }
    dcp.save(state, checkpoint_id=folder)
    dist.destroy_process_group()


if __name__ == "__main__":
    _rank(sys.argv[1])
