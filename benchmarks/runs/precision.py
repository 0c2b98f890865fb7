"""How weights and optimizer meet: one type throughout, or bfloat16 weights with float32 masters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn

WEIGHT_DECAY, HORIZON = 0.01, 1000


class Updater(Protocol):
    """Turns gradients into new weights; ``state_dict`` is what a resume needs beyond the weights."""

    def step(self) -> None: ...

    def state_dict(self) -> dict[str, object]: ...


class Plain:
    """AdamW on the given parameters; its moments have the parameters' own type."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float) -> None:
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=WEIGHT_DECAY)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, HORIZON)

    def step(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.scheduler.step()

    def state_dict(self) -> dict[str, object]:
        return {"optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict()}


class Master:
    """AdamW on float32 copies; the model's bfloat16 weights are their roundings after each step."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        self.weights = dict(model.named_parameters())
        self.masters = {name: nn.Parameter(w.detach().float()) for name, w in self.weights.items()}
        self.plain = Plain(self.masters.values(), rate)

    def step(self) -> None:
        for name, weight in self.weights.items():
            self.masters[name].grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        self.plain.step()
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        for name, weight in self.weights.items():
            weight.copy_(self.masters[name])

    def state_dict(self) -> dict[str, object]:
        return {"master": {name: m.detach() for name, m in self.masters.items()}, **self.plain.state_dict()}
