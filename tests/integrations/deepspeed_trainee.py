"""One rank of DeepSpeed trainings: ``python deepspeed_trainee.py RANK SIZE PORT FOLDER STAGES STEPS [OPTIONS]``.

One training after another, with each of the ZeRO stages, in FOLDER/stage-N. Saves every second step below its ckpts,
into its store; goes on from ``resume``, a ref, where that is among the OPTIONS. Tells the stage, the losses, and at the
end a digest of this rank's parameters.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any

rank, size, port, root, stages, steps, *options = sys.argv[1:]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
os.environ |= {"DS_ACCELERATOR": "cpu"}

import deepspeed  # noqa: E402 - it reads the environment
import torch  # noqa: E402

from deltackpt import Store  # noqa: E402
from deltackpt.integrations.deepspeed import attach, restore_folder  # noqa: E402


def begun(stage: int) -> tuple[torch.nn.Module, Any]:
    """A new model, and the engine that trains it."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))
    config = {
        "train_micro_batch_size_per_gpu": 4,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": stage > 0},
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    return model, engine


def resumed(engine: Any, store: str, ref: str, ckpts: str) -> None:
    with Store(store) as opened:
        tag = restore_folder(opened, ref, ckpts)
    _, client = engine.load_checkpoint(ckpts)
    assert (client["note"], tag) == ("kept", f"global_step{engine.global_steps}")


def slow(keeper: Any) -> None:
    """The files of the second rank come late."""
    write = keeper.save

    def late(*arguments: Any, **named: Any) -> None:
        time.sleep(0.1)
        write(*arguments, **named)

    keeper.save = late


def train(engine: Any, kind: torch.dtype, ckpts: str, fails_at: int) -> None:
    for step in range(engine.global_steps, int(steps)):
        batch = torch.randn(4, 64, generator=torch.Generator().manual_seed(step * 10 + int(rank))).to(kind)
        loss = (engine(batch) - batch).float().square().mean()
        engine.backward(loss)
        engine.step()
        sys.stdout.write(f"{step} {loss.item().hex()}\n")
        if step + 1 == fails_at and rank == "1":
            os.makedirs(f"{ckpts}/global_step{fails_at}/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt")
        if step % 2:
            engine.save_checkpoint(ckpts, client_state={"note": "kept"})


def digest(model: torch.nn.Module) -> str:
    made = hashlib.sha256()
    with deepspeed.zero.GatheredParameters(list(model.parameters())):
        for parameter in model.parameters():
            made.update(parameter.detach().float().numpy().tobytes())
    return made.hexdigest()


def run(
    stage: int,
    *,
    resume: str | None = None,
    save_dir: str = "ckpts",
    saved_16_bit: bool = False,
    fails_at: int = 0,
    **chosen: Any,
) -> None:
    folder = os.path.join(root, f"stage-{stage}")
    store, ckpts = os.path.join(folder, "store"), os.path.join(folder, save_dir)
    model, engine = begun(stage)
    keeper = attach(engine, store, **chosen)
    if rank == "1":
        slow(keeper)
    if resume is not None:
        resumed(engine, store, resume, ckpts)
    sys.stdout.write(f"stage {stage}\n")
    train(engine, torch.bfloat16 if stage else torch.float32, ckpts, fails_at)
    if saved_16_bit:
        engine.save_16bit_model(ckpts)
    sys.stdout.write(f"end {digest(model)}\n")
    keeper.cleanup()


torch.set_num_threads(1)
deepspeed.init_distributed("gloo")
for each in stages.split(","):
    run(int(each), **eval(f"dict({','.join(options)})"))
