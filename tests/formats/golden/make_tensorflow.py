"""Writes the checkpoints in ``tensorflow/`` beside it; needs TensorFlow: python make_tensorflow.py FOLDER.

``saved``   a tensor of every element type, a text, a scalar, an empty tensor
``object``  variables of an object, as ``tf.train.Checkpoint`` names them
``sliced``  a variable in two slices, in two shards
"""

from __future__ import annotations

import os
import sys

import numpy as np
import tensorflow as tf

KINDS = [
    *(tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.complex64, tf.complex128, tf.bool),
    *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    *(tf.dtypes.experimental.float8_e5m2, tf.dtypes.experimental.float8_e4m3fn),
]


def save(
    folder: str, tensors: dict[str, tf.Tensor], prefix: str = "ckpt", slices: dict[str, str] | None = None
) -> None:
    os.makedirs(folder, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=os.path.join(folder, prefix),
        tensor_names=list(tensors),
        shape_and_slices=[(slices or {}).get(name, "") for name in tensors],
        tensors=list(tensors.values()),
    )


def save_every_type(folder: str) -> None:
    values = tf.constant(np.arange(6, dtype=np.float32).reshape(2, 3))
    tensors = {kind.name: tf.cast(values, kind) for kind in KINDS}
    save(folder, {**tensors, "a text": tf.constant(["x", "yz"]), "scalar": tf.constant(1.5), "empty": tf.zeros([0, 3])})


def save_object(folder: str) -> None:
    model = tf.Module()
    model.layer = {
        "kernel": tf.Variable(tf.reshape(tf.range(12.0), [3, 4])),
        "bias": tf.Variable(tf.zeros([4], tf.bfloat16)),
    }
    model.step = tf.Variable(7, dtype=tf.int64)
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), folder, max_to_keep=2).save(10)


def save_slices(folder: str) -> None:
    whole = tf.reshape(tf.range(24.0), [6, 4])
    for part in range(2):
        rows = whole[3 * part : 3 * part + 3]
        tensors = {"w": rows, f"only{part}": tf.constant([float(part)] * 3)}
        save(folder, tensors, f"part{part}", {"w": f"6 4 {3 * part},3:0,4"})
    prefixes = [os.path.join(folder, f"part{part}") for part in range(2)]
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=prefixes, destination_prefix=os.path.join(folder, "ckpt"), delete_old_dirs=False
    )


if __name__ == "__main__":
    save_every_type(os.path.join(sys.argv[1], "saved"))
    save_object(os.path.join(sys.argv[1], "object"))
    save_slices(os.path.join(sys.argv[1], "sliced"))
