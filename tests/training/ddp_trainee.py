"""One rank of a distributed training."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import trainee
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Distributed:
    """A training of ``size`` ranks that meet at the file ``meeting``; rank 1 gets SIGTERM within step ``signal_at``."""

    size: int
    meeting: str
    store: str
    losses: str
    steps: int
    options: Mapping[str, Any]
    signal_at: int | None

    def rank(self, rank: int) -> None:
        """Train; what is logged and raised goes to the file LOSSES-RANK.err."""
        told = os.open(f"{self.losses}-{rank}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 2)
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        meeting = f"file://{self.meeting}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=self.size)
        self._train(rank)
        distributed.destroy_process_group()

    def _train(self, rank: int) -> None:
        run = trainee.made()
        # Dropout of each rank draws from its own generator, and each reads data of its own.
        torch.manual_seed(100 + rank)
        run.batches.generator.manual_seed(rank)
        model = DistributedDataParallel(run.model)
        with (
            trainee.checkpointer(run, self.store, every=3, **self.options) as ckpt,
            Path(f"{self.losses}-{rank}").open("a") as told,
        ):
            ckpt.resume()
            for step in ckpt.steps(self.steps):
                ids = next(run.batches)
                loss = nn.functional.cross_entropy(model(ids), (ids * 7 + 1) % 40)
                run.optimizer.zero_grad()
                loss.backward()
                run.optimizer.step()
                run.scheduler.step()
                run.ema.update_parameters(run.model)
                told.write(f"{step} {loss.item().hex()}\n")
                told.flush()
                if rank == 1 and step == self.signal_at:
                    os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
