"""Training with checkpoints: the loop that a newcomer would write, with one line that commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from deltackpt.demo.fingerprints import Fingerprints, fingerprints
from deltackpt.demo.text import standard_library
from deltackpt.demo.transformer import BYTES, Shape, Transformer
from deltackpt.history.commits import Commit
from deltackpt.store import Store


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: ``steps`` in all, a commit ``every`` so many."""

    steps: int = 300
    every: int = 10
    batch: int = 8
    learning_rate: float = 1e-3
    seed: int = 0
    shape: Shape = field(default_factory=Shape)


@dataclass(frozen=True, slots=True)
class Saved:
    """A commit, and what was in memory when it was made."""

    commit: Commit
    memory: Fingerprints


class Training:
    """A run: the model, and everything that it takes to go on from where it stands."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.text = standard_library()
        self.model = Transformer(recipe.shape)
        self.optimizer = AdamW(self.model.parameters(), lr=recipe.learning_rate)
        self.scheduler = CosineAnnealingLR(self.optimizer, recipe.steps)
        self.step = 0

    def advance(self) -> float:
        """One step; returns its loss."""
        batch = self._batch()
        scores = self.model(batch[:, :-1])
        loss = functional.cross_entropy(scores.reshape(-1, BYTES), batch[:, 1:].reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run would need to go on as if it had never stopped."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
        }

    def _batch(self) -> torch.Tensor:
        length = self.recipe.shape.context + 1
        starts = torch.randint(len(self.text) - length, (self.recipe.batch, 1))
        return self.text[starts + torch.arange(length)].long()


def train(store: Store, recipe: Recipe) -> Iterator[Saved]:
    """Train, and commit as often as ``recipe`` says; yields after each commit."""
    training = Training(recipe)
    losses: list[float] = []
    # Matrices so small gain little from a second thread, and wait for it four times as long where the cores are busy.
    torch.set_num_threads(1)
    while training.step < recipe.steps:
        losses.append(training.advance())
        if training.step % recipe.every == 0:
            state = training.state()
            memory = fingerprints(state)
            metrics = {"loss": sum(losses) / len(losses)}
            yield Saved(store.commit(state, step=training.step, metrics=metrics, config=asdict(recipe)), memory)
            losses.clear()
