"""Run where DeepSpeed is: ``make_deepspeed.py FOLDER STAGE`` trains two steps with ZeRO and saves a checkpoint."""

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

folder, stage = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 512))
config = {
    "train_micro_batch_size_per_gpu": 4,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": stage},
    "optimizer": {"type": "AdamW", "params": {"torch_adam": True}},
}
engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
for _ in range(2):
    engine.backward(engine(torch.randn(4, 512, dtype=torch.bfloat16)).float().square().mean())
    engine.step()
engine.save_checkpoint(folder, tag="global_step2", client_state={"epoch": 1})
