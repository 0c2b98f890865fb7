"""Run by TensorFlow's interpreter: the tensors of the checkpoint PREFIX as it reads them, as JSON of name to bytes."""

from __future__ import annotations

import json
import sys

import tensorflow as tf

if __name__ == "__main__":
    reader = tf.train.load_checkpoint(sys.argv[1])
    types = reader.get_variable_to_dtype_map()
    names = [name for name, kind in types.items() if kind != tf.string]
    sys.stdout.write(json.dumps({name: reader.get_tensor(name).tobytes().hex() for name in names}))
