"""``train_transformers.py MODEL ROOT STEPS``: fine-tunes MODEL with the Trainer.

It saves every tenth step below ROOT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import BertForMaskedLM, Trainer, TrainingArguments

from benchmarks.runs.corpus import documented_functions
from benchmarks.runs.wordpiece import WordPiece

TOKENS, EVERY, BATCH, MASKED = 32, 10, 16, 0.15


def masked_texts(model: Path) -> list[dict[str, torch.Tensor]]:
    """Docstrings as token ids; of some of their tokens the model has to tell what stood there."""
    tokenizer = WordPiece(model / "vocab.txt")
    ids = tokenizer.batch([text for text, _ in documented_functions()], TOKENS)
    asked = (torch.rand(ids.shape) < MASKED) & (ids != tokenizer.pad)
    asked[:, 1] |= ids[:, 1] != tokenizer.pad
    shown, labels = ids.masked_fill(asked, tokenizer.ids["[MASK]"]), ids.masked_fill(~asked, -100)
    attention = (ids != tokenizer.pad).long()
    columns = {"input_ids": shown, "attention_mask": attention, "labels": labels}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(ids))]


def train(model: Path, root: str, steps: int) -> None:
    arguments = TrainingArguments(
        output_dir=root,
        max_steps=steps,
        save_steps=EVERY,
        logging_steps=EVERY,
        per_device_train_batch_size=BATCH,
        learning_rate=3e-5,
        report_to=[],
        use_cpu=True,
        seed=7,
    )
    torch.manual_seed(7)
    Trainer(BertForMaskedLM.from_pretrained(model), arguments, train_dataset=masked_texts(model)).train()


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
