"""A small language model, really trained, and its whole state at a few steps."""

from __future__ import annotations

import argparse
import copy
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

WIDTH, CONTEXT = 64, 32
STEPS = (10, 20, 30, 40)


class Model(nn.Module):
    """Reads bytes and guesses the next one. Head and embedding are tied; the mask is a buffer full of -inf."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(256, WIDTH)
        self.block = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(WIDTH, 256, bias=False)
        self.head.weight = self.emb.weight
        self.register_buffer("mask", torch.triu(torch.full((CONTEXT, CONTEXT), float("-inf")), 1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.emb(ids), src_mask=self.mask))


def trained_states() -> list[dict[str, Any]]:
    """Model, optimizer, schedule and random state after each of ``STEPS``, copied as they were."""
    return [state for state in training(STEPS[-1]) if state["step"] in STEPS]


def training(steps: int) -> Iterator[dict[str, Any]]:
    """The whole training state after each step, copied as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        text = torch.frombuffer(bytearray(inspect.getsource(argparse), "utf-8"), dtype=torch.uint8).long()
        for step in range(1, steps + 1):
            loss = _train_once(model, optimizer, text)
            schedule.step()
            yield _snapshot(model, optimizer, schedule, step, loss)


def _train_once(model: nn.Module, optimizer: torch.optim.Optimizer, text: torch.Tensor) -> float:
    starts = torch.randint(len(text) - CONTEXT - 1, (8,))
    rows = torch.stack([text[start : start + CONTEXT + 1] for start in starts])
    loss = nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _snapshot(model: nn.Module, optimizer: Any, schedule: Any, step: int, loss: float) -> dict[str, Any]:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "rng": {"torch": torch.get_rng_state()},
        "step": step,
        "loss": loss,
    }
    return copy.deepcopy(state)
