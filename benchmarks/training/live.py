"""A live training whose state has about a given size: linear layers in float32 under AdamW."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WIDTH = 1024
BATCH = 16
# Weights and two moments.
_LAYER_BYTES = 3 * 4 * WIDTH * (WIDTH + 1)


class Live:
    """A model that really trains; ``advance`` is one step, after which every tensor has changed."""

    def __init__(self, nbytes: int) -> None:
        torch.manual_seed(0)
        layers = max(1, round(nbytes / _LAYER_BYTES))
        self.model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(layers)))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    @property
    def nbytes(self) -> int:
        """Plain bytes of the state, once a step was taken."""
        return len(self.model) * _LAYER_BYTES

    def advance(self) -> None:
        batch = torch.randn(BATCH, WIDTH)
        loss = (self.model(batch) - batch).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def tensors(self) -> list[torch.Tensor]:
        """All tensors of the state."""
        moments = [value for held in self.optimizer.state.values() for value in held.values()]
        return [*self.model.state_dict().values(), *moments]
