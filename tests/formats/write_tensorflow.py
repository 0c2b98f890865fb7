"""Run by TensorFlow's interpreter: ``write_tensorflow.py ARRAYS PREFIX`` saves an .npz as a checkpoint."""

from __future__ import annotations

import sys

import numpy as np
import tensorflow as tf

if __name__ == "__main__":
    arrays = dict(np.load(sys.argv[1]))
    tf.raw_ops.SaveV2(
        prefix=sys.argv[2],
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
