"""Keras on TensorFlow, driven in one process: ``python keras_trainee.py FOLDER``. What does not hold is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deltackpt import InvalidInputError, Keep, Store
from deltackpt.integrations.keras import PREFIX, DeltackptCallback, restore

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
inputs = rng.standard_normal((64, 8), np.float32)
targets = inputs.sum(1, keepdims=True)


def made(width: int = 400) -> Any:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    frozen = layers.Dense(8, trainable=False)
    model = keras.Sequential(
        [keras.Input((8,)), frozen, layers.Dense(width, "relu"), layers.Dropout(0.3), layers.BatchNormalization()]
    )
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.AdamW(1e-3), "mse", metrics=["mae"])
    return model


def fit(model: Any, epochs: int, callback: Any, begun: int = 0) -> list[float]:
    told = model.fit(inputs, targets, 16, epochs, verbose=0, shuffle=False, initial_epoch=begun, callbacks=[callback])
    return list(told.history["loss"])


def arrays(model: Any) -> list[Any]:
    return [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# A run, and one that goes on from its middle in the place of its end.
whole, path = made(), folder / "store"
assert DeltackptCallback(path).resume(whole) == 0
losses = fit(whole, 4, DeltackptCallback(path))
with Store(path) as store:
    commits = list(store.log("main"))
    assert [(commit.step, commit.message) for commit in commits] == [(n * 4, f"epoch {n}") for n in (4, 3, 2, 1)]
    assert commits[0].metrics["loss"] == losses[-1]
    assert set(commits[0].metrics) == {"loss", "mae"}
again, callback = made(), DeltackptCallback(path, every=3)
assert callback.resume(again, "step:8") == 2
assert fit(again, 4, callback, 2) == losses[2:]
assert same(arrays(again), arrays(whole))
with Store(path) as store:
    found = [(commit.step, commit.message) for commit in store.log("main")]
    assert found[:5] == [(16, "epoch 4"), (15, "epoch 3"), (12, "epoch 3"), (9, "epoch 2"), (8, "epoch 2")], found

    # A checkout is TensorFlow's own, and its tensors are stored by name.
    store.checkout("step:16", out := folder / "out")
    assert sorted(one.name for one in out.iterdir()) == [f"{PREFIX}.data-00000-of-00001", f"{PREFIX}.index"]
    plain = made()
    tf.train.Checkpoint(model=plain).read(str(out / PREFIX)).expect_partial()
    assert same([v.numpy() for v in plain.weights], [v.numpy() for v in whole.weights])
    reader = store.reader("main")
    (kernel,) = (name for name in reader if name.endswith("/_kernel"))
    assert np.array_equal(reader.tensor(kernel).numpy(), whole.layers[0].kernel.numpy())
    assert store.diff("step:12", "step:16").changed

    # A model of another make is told from this one, and nothing may be begun on a branch that has commits.
    for refused in (lambda: restore(made(30), store, "main"), lambda: fit(made(), 1, DeltackptCallback(path))):
        try:
            refused()
        except InvalidInputError as error:
            sys.stdout.write(f"{str(error).partition(':')[0].partition(';')[0]}\n")
try:
    DeltackptCallback(path).resume(keras.Sequential([keras.layers.Dense(1)]))
except InvalidInputError as error:
    sys.stdout.write(f"{error}\n")

# Several steps at once: the first end of such a group at or after each multiple of ``every``.
grouped = made()
grouped.compile("adam", "mse", steps_per_execution=2)
grouped.fit(inputs, targets, 4, 1, verbose=0, callbacks=[DeltackptCallback(path, branch="grouped", every=5)])
with Store(path) as store:
    assert [commit.step for commit in store.log("grouped")] == [16, 10, 6]


# A policy, and a branch of its own.
fit(made(), 3, DeltackptCallback(path, branch="short", keep=Keep(last=1)))
with Store(path) as store:
    assert [commit.step for commit in store.log("short")] == [12]
