"""One rank of a distributed training: ``python ddp_trainee.py RANK SIZE PORT STORE LOSSES STEPS [OPTIONS]``."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

import torch
import trainee
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

logging.basicConfig(level=logging.INFO, format="%(message)s")
rank, size, port, store, losses, steps, *options = sys.argv[1:]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "WORLD_SIZE": size}
distributed.init_process_group("gloo")

run = trainee.made()
# Dropout of each rank draws from its own generator, and each reads data of its own.
torch.manual_seed(100 + int(rank))
run.batches.generator.manual_seed(int(rank))
model = DistributedDataParallel(run.model)
with trainee.checkpointer(run, store, every=3, **eval(f"dict({','.join(options)})")) as ckpt:
    start = ckpt.resume()
    with Path(f"{losses}-{rank}").open("a") as told:
        for step in ckpt.steps(int(steps)):
            ids = next(run.batches)
            loss = nn.functional.cross_entropy(model(ids), (ids * 7 + 1) % 40)
            run.optimizer.zero_grad()
            loss.backward()
            run.optimizer.step()
            run.scheduler.step()
            run.ema.update_parameters(run.model)
            told.write(f"{step} {loss.item().hex()}\n")
            told.flush()
            with contextlib.suppress(ValueError):
                if step == int(os.environ.get("SIGNAL_AT", "none")) and rank == "1":
                    os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
distributed.destroy_process_group()
