"""Checkpoint folders that training tools write, each after two steps of a real run with a small model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

_DATA = [{"input_ids": ids, "labels": ids} for ids in torch.randint(64, (8, 12))]


def accelerate(path: Path) -> None:
    """What ``Accelerator.save_state`` writes."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model = nn.Sequential(nn.Linear(512, 1024), nn.Tanh(), nn.Linear(1024, 512))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    for _ in range(2):
        accelerator.backward(model(torch.randn(4, 512)).square().mean())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    accelerator.save_state(str(path))


def trainer(path: Path) -> None:
    """What Transformers' Trainer writes."""
    torch.manual_seed(0)
    arguments = TrainingArguments(
        str(path.parent / "run"),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        max_steps=2,
        save_steps=2,
        per_device_train_batch_size=4,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=256, n_layer=2, n_head=2))
    Trainer(model, arguments, train_dataset=_DATA).train()
    (path.parent / "run" / "checkpoint-2").rename(path)


def deepspeed(path: Path) -> None:
    """The files of DeepSpeed's ZeRO stage 1 on two ranks, under its names and with what it puts into them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(512, 1024), nn.Tanh(), nn.Linear(1024, 512))
    flat = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    (step := path / "global_step2").mkdir(parents=True)
    shapes = [{name: weight.shape for name, weight in model.named_parameters()}]
    module = {"module": model.state_dict(), "param_shapes": shapes, "global_steps": 2, "dp_world_size": 2}
    torch.save(module, step / "mp_rank_00_model_states.pt")
    for rank, half in enumerate(flat.chunk(2)):
        moments = {"step": 2, "exp_avg": half * 0.1, "exp_avg_sq": half.square()}
        state = {"base_optimizer_state": {"state": {0: moments}, "param_groups": [{"lr": 1e-3, "params": [0]}]}}
        state |= {"single_partition_of_fp32_groups": [half.clone()], "zero_stage": 1, "partition_count": 2}
        optimizer = {
            "optimizer_state_dict": state,
            "ds_config": {"zero_optimization": {"stage": 1}},
            "ds_version": "0.19",
        }
        torch.save(optimizer, step / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    (path / "latest").write_text(step.name)


WRITERS: dict[str, Callable[[Path], None]] = {
    "Accelerate, `save_state`": accelerate,
    "Transformers, `Trainer`": trainer,
    "DeepSpeed ZeRO": deepspeed,
}


def written(name: str, path: Path) -> None:
    """Write the folder ``path`` as the tool of that name does; its warnings are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[name](path)
