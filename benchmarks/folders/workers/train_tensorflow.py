"""``train_tensorflow.py ROOT STEPS``: trains a small transformer on bytes, saving every tenth step below ROOT."""

from __future__ import annotations

import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks.runs.corpus import library_text

WIDTH, HEADS, LAYERS, CONTEXT, BATCH, EVERY = 384, 6, 4, 64, 8, 10


def language_model() -> keras.Model:
    """Next-byte prediction: embedding, causal attention blocks, logits; about 7 million weights."""
    ids = keras.Input((CONTEXT,), dtype="int32")
    x = keras.layers.Embedding(256, WIDTH)(ids)
    for _ in range(LAYERS):
        y = keras.layers.LayerNormalization()(x)
        x = x + keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, use_causal_mask=True)
        y = keras.layers.Dense(4 * WIDTH, activation="gelu")(keras.layers.LayerNormalization()(x))
        x = x + keras.layers.Dense(WIDTH)(y)
    return keras.Model(ids, keras.layers.Dense(256)(keras.layers.LayerNormalization()(x)))


def train(root: str, steps: int) -> None:
    keras.utils.set_random_seed(7)
    model = language_model()
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    text, chance = np.frombuffer(library_text(), np.uint8).astype(np.int32), np.random.default_rng(7)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    for step in range(1, steps + 1):
        starts = chance.integers(len(text) - CONTEXT - 1, size=BATCH)
        windows = text[starts[:, None] + np.arange(CONTEXT + 1)]
        model.train_on_batch(windows[:, :-1], windows[:, 1:])
        if step % EVERY == 0:
            checkpoint.save(f"{root}/step-{step}/ckpt")


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
