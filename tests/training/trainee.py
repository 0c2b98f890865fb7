"""A real training with everything that must come back: a program that can be killed at any moment and started again.

``live(store, steps, losses, ...)`` trains to ``steps`` completed steps and appends ``step loss`` to the file ``losses``
after each one.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import deltackpt

WIDTH = 48


@dataclass
class Batches:
    """Shuffles positions epoch by epoch with a generator of its own, and knows where it stands."""

    count: int = 40
    size: int = 4
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(3))
    order: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    at: int = 0

    def __next__(self) -> torch.Tensor:
        if self.at + self.size > len(self.order):
            self.order, self.at = torch.randperm(self.count, generator=self.generator), 0
        self.at += self.size
        return self.order[self.at - self.size : self.at]

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), "order": self.order, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.order, self.at = state["order"], state["at"]


class Net(nn.Module):
    """Dropout draws from torch's generator, BatchNorm has buffers and counts, the output is tied to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(40, WIDTH)
        self.block = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.BatchNorm1d(4 * WIDTH), nn.GELU(), nn.Dropout(0.2))
        self.out = nn.Linear(4 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 40, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.out(self.block(self.emb(ids))))


@dataclass
class Run:
    """A model and all that trains it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    ema: Any
    batches: Batches

    def train_step(self) -> float:
        ids = next(self.batches)
        noise = 1 + 0.01 * random.random() + 0.01 * float(np.random.rand())
        loss = nn.functional.cross_entropy(self.model(ids) * noise, (ids * 7 + 1) % 40)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.ema.update_parameters(self.model)
        return loss.item()


def made(seed: int = 0) -> Run:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    ema = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    return Run(model, optimizer, scheduler, ema, Batches())


def checkpointer(run: Run, store: str, **options: Any) -> deltackpt.Checkpointer:
    return deltackpt.Checkpointer(
        store,
        model=run.model,
        optimizer=run.optimizer,
        scheduler=run.scheduler,
        dataloader=run.batches,
        **{"nice": 0, "extra": {"ema": run.ema}, **options},
    )


def live(store: str, steps: int, losses: str, *, pause: float = 0.0, **options: Any) -> Run:
    run = made()
    with Path(losses).open("a") as told, checkpointer(run, store, **options) as ckpt:
        ckpt.resume("auto")
        for step in ckpt.steps(steps):
            loss = run.train_step()
            ckpt.log(loss=loss)
            told.write(f"{step} {loss.hex()}\n")
            told.flush()
            time.sleep(pause)
    return run


def told(losses: str | Path) -> dict[int, str]:
    """The last word on the loss of each step; a line that was cut off counts for nothing."""
    lines = Path(losses).read_text().splitlines(keepends=True)
    return {int(line.split()[0]): line.split()[1] for line in lines if line.endswith("\n")}


def history(losses: str | Path) -> list[tuple[int, str]]:
    """Every word on the loss of a step, also of lives that were lost."""
    lines = Path(losses).read_text().splitlines(keepends=True)
    return [(int(line.split()[0]), line.split()[1]) for line in lines if line.endswith("\n")]
