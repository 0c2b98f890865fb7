"""Accelerate, the real one: what it has prepared comes back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltackpt import InvalidInputError, Store

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")

from torch import nn  # noqa: E402

from deltackpt.integrations.accelerate import checkpointer  # noqa: E402


class Counter:
    """Something of the user's own."""

    def __init__(self) -> None:
        self.seen = 0

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def run(store: Path, steps: int) -> tuple[dict[int, float], Counter, Any]:
    """Train up to ``steps``, resuming where the store stands; the losses of the steps done now."""
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True)
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    counter = Counter()
    accelerator.register_for_checkpointing(counter)
    losses: dict[int, float] = {}
    with checkpointer(accelerator, store, every=2) as ckpt:
        ckpt.resume()
        for step in ckpt.steps(steps):
            batch = torch.randn(4, 8)
            loss = (model(batch) - batch.sum(1, keepdim=True)).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            counter.seen += 4
            losses[step] = loss.item()
    return losses, counter, model


def test_a_run_in_two_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    whole, _, model = run(tmp_path / "whole", 7)
    first, _, _ = run(tmp_path / "parts", 3)
    rest, counter, other = run(tmp_path / "parts", 7)
    assert {**first, **rest} == whole
    assert (list(rest), counter.seen) == ([3, 4, 5, 6], 28)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with Store(tmp_path / "parts") as store:
        state = store.load("main")
        assert {"model", "optimizer", "scheduler", "custom_0", "rng"} <= set(state)


def test_several_models_and_optimizers(tmp_path: Path) -> None:
    def made() -> tuple[Any, list[nn.Module]]:
        accelerator = accelerate.Accelerator(cpu=True)
        models = [nn.Linear(3, 3), nn.Linear(2, 2)]
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in models]
        accelerator.prepare(*models, *optimizers)
        return accelerator, models

    accelerator, models = made()
    with checkpointer(accelerator, tmp_path / "s") as ckpt:
        ckpt.save()
    again, others = made()
    with checkpointer(again, tmp_path / "s") as ckpt:
        ckpt.resume("must")
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(models, others, strict=True))


def test_every_data_loader_goes_on_where_it_stood(tmp_path: Path) -> None:
    pytest.importorskip("torchdata")

    def made() -> tuple[Any, list[Any]]:
        stateful = accelerate.utils.DataLoaderConfiguration(use_stateful_dataloader=True)
        accelerator = accelerate.Accelerator(cpu=True, dataloader_config=stateful)
        loaders = [torch.utils.data.DataLoader(torch.arange(count), batch_size=2) for count in (20, 10)]
        _, *loaders = accelerator.prepare(nn.Linear(1, 1), *loaders)
        return accelerator, loaders

    accelerator, loaders = made()
    with checkpointer(accelerator, tmp_path / "s") as ckpt:
        for (batch, other), _ in zip(zip(*loaders, strict=False), range(3), strict=False):
            seen = [batch.tolist(), other.tolist()]
        ckpt.save(wait=True)
    assert seen == [[4, 5], [4, 5]]
    again, loaders = made()
    with checkpointer(again, tmp_path / "s") as ckpt:
        ckpt.resume("must")
        assert [next(iter(loader)).tolist() for loader in loaders] == [[6, 7], [6, 7]]


def test_nothing_was_prepared(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"call accelerator.prepare\(...\) first"):
        checkpointer(accelerate.Accelerator(cpu=True), tmp_path / "s")
