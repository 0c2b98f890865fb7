"""Training with checkpoints: the loop that a newcomer would write, around a :class:`Checkpointer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from deltackpt.demo.fingerprints import Fingerprints, fingerprints
from deltackpt.demo.text import standard_library
from deltackpt.demo.transformer import BYTES, Shape, Transformer
from deltackpt.training.checkpointer import Checkpointer

Tell = Callable[[int, Mapping[str, float]], None]


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
    """What was in memory when ``step`` steps were completed, which is when a snapshot was taken."""

    step: int
    memory: Fingerprints


@dataclass(frozen=True, slots=True)
class Trained:
    """A run: what was saved, and the loss of each step."""

    saved: list[Saved]
    losses: list[float]


class Training:
    """The model, and everything that trains it."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.text = standard_library()
        self.model = Transformer(recipe.shape)
        self.optimizer = AdamW(self.model.parameters(), lr=recipe.learning_rate)
        self.scheduler = CosineAnnealingLR(self.optimizer, recipe.steps)

    def advance(self) -> float:
        """One step; returns its loss."""
        batch = self._batch()
        scores = self.model(batch[:, :-1])
        loss = functional.cross_entropy(scores.reshape(-1, BYTES), batch[:, 1:].reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """What there is to prove: each under the name that it has in a commit."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "rng": {"0": {"torch": torch.get_rng_state()}},
        }

    def checkpointer(self, store: str, **options: Any) -> Checkpointer:
        """One that saves this training."""
        return Checkpointer(
            store,
            model=self.model,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            config=asdict(self.recipe),
            **options,
        )

    def _batch(self) -> torch.Tensor:
        length = self.recipe.shape.context + 1
        starts = torch.randint(len(self.text) - length, (self.recipe.batch, 1))
        return self.text[starts + torch.arange(length)].long()


def train(store: str, recipe: Recipe, tell: Tell) -> Trained:
    """Train, saving as often as ``recipe`` says; ``tell`` hears of each commit when it is durable."""
    # Matrices so small gain little from a second thread, and wait for it four times as long where the cores are busy.
    torch.set_num_threads(1)
    training = Training(recipe)
    trained = Trained([], [])
    with training.checkpointer(store, every=recipe.every, scalars=tell) as ckpt:
        ckpt.resume()
        for step in ckpt.steps(recipe.steps):
            trained.losses.append(training.advance())
            ckpt.log(loss=trained.losses[-1])
            if (step + 1) % recipe.every == 0:
                trained.saved.append(Saved(step + 1, fingerprints(training.state())))
    return trained


def trained_again(store: str, recipe: Recipe, step: int) -> list[float]:
    """The losses of all steps after ``step``, by a training that knows nothing but what was saved then."""
    training = Training(recipe)
    with training.checkpointer(store) as ckpt:
        start = ckpt.resume(f"step:{step}")
        return [training.advance() for _ in range(start, recipe.steps)]
