"""Run where DeepSpeed is: ``make_deepspeed.py RUN STAGE STEP...`` trains with ZeRO and saves at each of the steps.

Beside each checkpoint stand the tensors that the engine had in memory.
"""

from __future__ import annotations

import os
import socket
import sys

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
os.environ |= {"MASTER_PORT": str(port), "DS_ACCELERATOR": "cpu"}

import deepspeed
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

run, stage, *steps = sys.argv[1:]
saved = [int(step) for step in steps]
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 512))
config = {
    "train_micro_batch_size_per_gpu": 4,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": int(stage)},
    "optimizer": {"type": "AdamW", "params": {"torch_adam": True}},
}
engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
for step in range(1, saved[-1] + 1):
    engine.backward(engine(torch.randn(4, 512, dtype=torch.bfloat16)).float().square().mean())
    engine.step()
    if step in saved:
        engine.save_checkpoint(f"{run}/checkpoint-{step}", client_state={"epoch": 1})
        held = tree_leaves([engine.module_state_dict(), engine.optimizer.state_dict()])
        tensors = [leaf for leaf in held if isinstance(leaf, torch.Tensor)]
        torch.save({str(number): tensor for number, tensor in enumerate(tensors)}, f"{run}/checkpoint-{step}.live")
