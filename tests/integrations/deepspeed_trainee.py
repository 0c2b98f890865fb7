"""One rank of a DeepSpeed training: ``python deepspeed_trainee.py RANK SIZE PORT FOLDER STAGE STEPS [OPTIONS]``.

Saves every second step below FOLDER/ckpts, into the store FOLDER/store; goes on from ``resume``, a ref, where that is
among the OPTIONS. Tells the losses, and at the end a digest of this rank's parameters.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

rank, size, port, folder, stage, steps, *options = sys.argv[1:]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
os.environ |= {"DS_ACCELERATOR": "cpu"}

import deepspeed  # noqa: E402 - it reads the environment
import torch  # noqa: E402

from deltackpt import Store  # noqa: E402
from deltackpt.integrations.deepspeed import attach, restore_folder  # noqa: E402

chosen: dict[str, Any] = eval(f"dict({','.join(options)})")
resume, save_dir = chosen.pop("resume", None), chosen.pop("save_dir", "ckpts")
saved_16_bit = chosen.pop("saved_16_bit", False)
torch.set_num_threads(1)
torch.manual_seed(3)
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))
config = {
    "train_micro_batch_size_per_gpu": 4,
    "zero_optimization": {"stage": int(stage)},
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
    "bf16": {"enabled": stage != "0"},
}
deepspeed.init_distributed("gloo")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
keeper = attach(engine, os.path.join(folder, "store"), **chosen)
ckpts = os.path.join(folder, save_dir)
if resume is not None:
    with Store(os.path.join(folder, "store")) as store:
        tag = restore_folder(store, resume, ckpts)
    _, client = engine.load_checkpoint(ckpts)
    assert (client["note"], tag) == ("kept", f"global_step{engine.global_steps}")
kind = torch.float32 if stage == "0" else torch.bfloat16
for step in range(engine.global_steps, int(steps)):
    batch = torch.randn(4, 64, generator=torch.Generator().manual_seed(step * 10 + int(rank))).to(kind)
    loss = (engine(batch) - batch).float().square().mean()
    engine.backward(loss)
    engine.step()
    sys.stdout.write(f"{step} {loss.item().hex()}\n")
    if step % 2:
        engine.save_checkpoint(ckpts, client_state={"note": "kept"})
if saved_16_bit:
    engine.save_16bit_model(ckpts)
digest = hashlib.sha256()
with deepspeed.zero.GatheredParameters(list(model.parameters())):
    for parameter in model.parameters():
        digest.update(parameter.detach().float().numpy().tobytes())
sys.stdout.write(f"end {digest.hexdigest()}\n")
keeper.cleanup()
