"""The training loops: next-byte prediction from scratch, contrastive fine-tuning of a pretrained encoder.

Each is a generator that yields the whole training state after every step: weights, both Adam moments, step
count, learning-rate schedule, random number generators. A state shares memory with the model; save it, or
drop it, before asking for the next.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.runs.corpus import documented_functions, library_text
from benchmarks.runs.encoder import SentenceEncoder, pretrained
from benchmarks.runs.gpt import CONTEXT, GPT
from benchmarks.runs.precision import Master, Plain, Updater
from benchmarks.runs.wordpiece import WordPiece

SEED = 7
GPT_BATCH, GPT_RATE = 12, 1e-3
PAIRS, TOKENS, FINETUNE_RATE, TEMPERATURE = 16, 32, 3e-5, 0.05


def from_scratch() -> Iterator[dict[str, Any]]:
    """GPT on the source of the standard library, AdamW, float32."""
    _seed()
    model = GPT()
    updater = Plain(model.parameters(), GPT_RATE)
    text = torch.frombuffer(bytearray(library_text()), dtype=torch.uint8)
    while True:
        yield _step(model, updater, _next_byte_loss(model, text))


def fine_tune(folder: Path, dtype: torch.dtype, master: bool) -> Iterator[dict[str, Any]]:
    """The pretrained encoder of ``folder``, taught to match docstrings with the signatures they belong to."""
    _seed()
    model = pretrained(folder, dtype)
    updater = Master(model, FINETUNE_RATE) if master else Plain(model.parameters(), FINETUNE_RATE)
    tokenizer, pairs = WordPiece(folder / "vocab.txt"), documented_functions()
    while True:
        yield _step(model, updater, contrastive_loss(model, tokenizer, random.sample(pairs, PAIRS)))


def _seed() -> None:
    random.seed(SEED)
    torch.manual_seed(SEED)


def _step(model: nn.Module, updater: Updater, loss: Tensor) -> dict[str, Any]:
    loss.backward()
    updater.step()
    generators = {"torch": torch.get_rng_state(), "python": random.getstate()}
    return {"model": model.state_dict(), **updater.state_dict(), "rng": generators, "loss": loss.item()}


def _next_byte_loss(model: GPT, text: Tensor) -> Tensor:
    starts = torch.randint(len(text) - CONTEXT - 1, (GPT_BATCH,))
    windows = text[starts[:, None] + torch.arange(CONTEXT + 1)].long()
    return functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def contrastive_loss(model: SentenceEncoder, tokenizer: WordPiece, pairs: list[tuple[str, str]]) -> Tensor:
    texts = [text for text, _ in pairs] + [signature for _, signature in pairs]
    left, right = model(tokenizer.batch(texts, TOKENS), tokenizer.pad).chunk(2)
    scores = left @ right.T / TEMPERATURE
    target = torch.arange(len(pairs))
    return (functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)) / 2
