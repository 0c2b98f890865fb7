"""``train_deepspeed.py MODEL ROOT STEPS PORT RANK RANKS``: one rank that fine-tunes MODEL with ZeRO-2 in bf16.

The engine saves every tenth step below ROOT.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

_, model, root, steps, port, rank, ranks = sys.argv
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks}
os.environ |= {"DS_ACCELERATOR": "cpu"}

import deepspeed  # noqa: E402 - it reads the environment
import torch  # noqa: E402

from benchmarks.runs.corpus import documented_functions  # noqa: E402
from benchmarks.runs.encoder import pretrained  # noqa: E402
from benchmarks.runs.training import contrastive_loss  # noqa: E402
from benchmarks.runs.wordpiece import WordPiece  # noqa: E402

EVERY, PAIRS = 10, 8
CONFIG = {
    "train_micro_batch_size_per_gpu": PAIRS,
    "zero_optimization": {"stage": 2},
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
    "bf16": {"enabled": True},
}


def train() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    random.seed(int(rank))
    deepspeed.init_distributed("gloo")
    encoder = pretrained(Path(model), torch.bfloat16)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=3e-5, weight_decay=0.01)
    engine, *_ = deepspeed.initialize(model=encoder, optimizer=optimizer, config=CONFIG)
    tokenizer, pairs = WordPiece(Path(model) / "vocab.txt"), documented_functions()
    for step in range(1, int(steps) + 1):
        engine.backward(contrastive_loss(engine, tokenizer, random.sample(pairs, PAIRS)))
        engine.step()
        if step % EVERY == 0:
            engine.save_checkpoint(root)


if __name__ == "__main__":
    train()
