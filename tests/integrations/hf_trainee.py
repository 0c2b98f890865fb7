"""One rank of a Trainer on the CPU: ``python hf_trainee.py RANK PORT FOLDER STEPS [RESUME]``."""

from __future__ import annotations

import os
import sys
import time

rank, port, folder, steps, *resume = sys.argv[1:]
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}

import torch  # noqa: E402 - it reads the environment
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments  # noqa: E402

from deltackpt.integrations.hf_trainer import DeltackptCallback, DeltackptMixin  # noqa: E402


class MixedIn(DeltackptMixin, Trainer):
    """As people write it, on machines of which the second is slow to write what is its own."""

    def _save_rng_state(self, output_dir: str) -> None:
        time.sleep(0.5 * int(rank))
        super()._save_rng_state(output_dir)


torch.set_num_threads(1)
torch.manual_seed(3)
data = [{"input_ids": ids, "labels": ids} for ids in torch.randint(64, (40, 12))]
model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2))
arguments = TrainingArguments(
    os.path.join(folder, f"out-{len(resume)}"),
    use_cpu=True,
    ddp_backend="gloo",
    report_to="none",
    disable_tqdm=True,
    max_steps=int(steps),
    per_device_train_batch_size=2,
    save_steps=2,
    save_total_limit=1,
)
trainer = MixedIn(model, arguments, train_dataset=data, callbacks=[DeltackptCallback(os.path.join(folder, "s"))])
trainer.train(resume_from_checkpoint=resume[0] if resume else None)
if rank == "0":
    torch.save(trainer.model.state_dict(), os.path.join(folder, f"end-{len(resume)}.pt"))
