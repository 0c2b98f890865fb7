"""Run by TensorFlow's interpreter: the tensors of checkpoints, or of the newest one in a folder, as it reads them.

For each a line of JSON: name to element type, shape and bytes.
"""

from __future__ import annotations

import json
import os
import sys

import tensorflow as tf


def told(path: str) -> dict[str, tuple[str, list[int], str]]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(path) if os.path.isdir(path) else path)
    types = reader.get_variable_to_dtype_map()
    tensors = {name: reader.get_tensor(name) for name, kind in types.items() if kind != tf.string}
    return {name: (types[name].name, list(one.shape), one.tobytes().hex()) for name, one in tensors.items()}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        sys.stdout.write(json.dumps(told(path)) + "\n")
