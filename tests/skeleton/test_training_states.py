"""Whole states of real training: after loading, training goes on exactly as if it had not stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skeleton_round_trip import assert_same, shelved, through
from torch import nn


class Tiny(nn.Module):
    """A language model with tied embeddings and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.emb.weight
        self.register_buffer("mask", torch.triu(torch.full((4, 4), float("-inf")), 1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.emb(tokens), src_mask=self.mask))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, steps: int) -> None:
    for _ in range(steps):
        tokens = torch.randint(0, 11, (3, 4))
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss.item())
        else:
            scheduler.step()


OPTIMIZERS: dict[str, Any] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "tensor lr": lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-2)),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
}
SCHEDULERS: dict[str, Any] = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    "multistep": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 2, 5]),
    "onecycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 20, cycle_momentum=False),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
}


def training_state(model: nn.Module, optimizer: Any, scheduler: Any) -> dict[str, Any]:
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "step": 3,
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_training_goes_on_as_if_it_had_not_stopped(optimizer: str, scheduler: str) -> None:
    if optimizer == "tensor lr" and scheduler in ("onecycle", "plateau"):
        pytest.skip("torch has no such pair")
    torch.manual_seed(0)
    model = Tiny()
    opt = OPTIMIZERS[optimizer](model.parameters())
    sched = SCHEDULERS[scheduler](opt)
    train(model, opt, sched, 3)
    state = training_state(model, opt, sched)
    shelf = shelved(state)
    back = shelf.load()
    assert_same(back, state)

    train(model, opt, sched, 3)
    other = Tiny()
    other_opt = OPTIMIZERS[optimizer](other.parameters())
    other_sched = SCHEDULERS[scheduler](other_opt)
    other.load_state_dict(back["model"])
    other_opt.load_state_dict(back["optimizer"])
    other_sched.load_state_dict(back["scheduler"])
    torch.set_rng_state(back["rng"])
    train(other, other_opt, other_sched, 3)
    assert_same(training_state(other, other_opt, other_sched), training_state(model, opt, sched))


def test_the_names_are_the_tools_own() -> None:
    model = Tiny()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer), 1)
    shelf = shelved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    assert shelf.names("model")[:3] == ["model/mask", "model/emb.weight", "model/block.self_attn.in_proj_weight"]
    assert "model/head.weight" not in shelf.names("model")
    assert shelf.names("optimizer")[:3] == [
        "optimizer/state/0/step",
        "optimizer/state/0/exp_avg",
        "optimizer/state/0/exp_avg_sq",
    ]


def test_a_step_of_training_changes_no_skeleton_but_what_it_counts() -> None:
    model = Tiny()
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    train(model, optimizer, scheduler, 1)
    before = shelved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}).skeletons
    train(model, optimizer, scheduler, 1)
    after = shelved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}).skeletons
    assert before == after


def test_a_gradient_scaler() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(1))
    state = scaler.state_dict()
    assert state
    assert_same(through({"scaler": state}), {"scaler": state})


def test_live_parameters_and_their_optimizer_stay_tied() -> None:
    model = nn.Linear(2, 2)
    state = {"params": dict(model.named_parameters()), "list": list(model.parameters())}
    back = through(state)
    assert back["params"]["weight"] is back["list"][0]
    assert type(back["list"][0]) is nn.Parameter


def test_a_state_of_many_kinds_at_once() -> None:
    state = {
        "model": Tiny().state_dict(),
        "ema": {"shadow": [torch.ones(2, dtype=torch.bfloat16)] * 2, "decay": 0.999},
        "data": {"epoch": 3, "order": np.random.default_rng(0).permutation(10), "seen": {("shard", 1), ("shard", 2)}},
        "config": {
            "lr": 1e-4,
            "betas": (0.9, 0.95),
            "dtype": torch.bfloat16,
            "size": torch.Size([1, 2]),
            "name": "gpt",
        },
    }
    assert_same(through(state), state)
