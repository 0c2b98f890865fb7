"""Run where TensorFlow is: ``make_tensorflow_run.py RUN STEP...`` trains a Keras model and saves at each of the steps.

Beside each checkpoint stand the variables that were in memory, as an .npz.
"""

from __future__ import annotations

import sys

import keras
import numpy as np
import tensorflow as tf

run, *steps = sys.argv[1:]
saved = [int(step) for step in steps]
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(512, "tanh"), keras.layers.Dense(256)])
model.compile(keras.optimizers.AdamW(1e-3), "mse")
checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
values = np.random.default_rng(0)
for step in range(1, saved[-1] + 1):
    batch = values.standard_normal((4, 256), np.float32)
    model.train_on_batch(batch, batch)
    if step in saved:
        tf.train.CheckpointManager(checkpoint, f"{run}/checkpoint-{step}", max_to_keep=1).save(step)
        variables = {each.path: each.numpy() for each in [*model.variables, *model.optimizer.variables]}
        with open(f"{run}/checkpoint-{step}.live", "wb") as file:
            np.savez(file, **variables)
