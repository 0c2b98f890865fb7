"""Folders of Megatron-LM, under its names and with what it puts into them, written with PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn


def state_of_rank(rank: int) -> dict[str, Any]:
    """What one tensor-parallel rank of Megatron-LM keeps."""
    torch.manual_seed(rank)
    model = nn.Sequential(nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 512))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 512)).square().mean().backward()
    optimizer.step()
    layers = {name: weight.detach() for name, weight in model.named_parameters()}
    master = [[weight.clone() for weight in layers.values()]]
    return {
        "args": argparse.Namespace(num_layers=2, tensor_model_parallel_size=2),
        "checkpoint_version": 3.0,
        "iteration": 100,
        "model": {"language_model": {"embedding": {"w": torch.randn(64, 512)}, "encoder": layers}},
        "optimizer": {"optimizer": optimizer.state_dict(), "fp32_from_fp16_params": master},
        "opt_param_scheduler": {"max_lr": 1e-4, "num_steps": 100},
        "rng_state": [{"torch_rng_state": torch.get_rng_state()}],
    }


def write(folder: Path, iteration: int, states: list[dict[str, Any]]) -> None:
    """The states of the tensor-parallel ranks at ``iteration``."""
    for rank, state in enumerate(states):
        path = folder / f"iter_{iteration:07d}/mp_rank_{rank:02d}/model_optim_rng.pt"
        path.parent.mkdir(parents=True)
        torch.save(state, path)
    (folder / "latest_checkpointed_iteration.txt").write_text(str(iteration))
