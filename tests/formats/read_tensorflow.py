"""Run by TensorFlow's interpreter: the tensors of a checkpoint, or of the newest one in a folder, as it reads them.

JSON of name to element type, shape and bytes.
"""

from __future__ import annotations

import json
import os
import sys

import tensorflow as tf

if __name__ == "__main__":
    prefix = tf.train.latest_checkpoint(sys.argv[1]) if os.path.isdir(sys.argv[1]) else sys.argv[1]
    reader = tf.train.load_checkpoint(prefix)
    types = reader.get_variable_to_dtype_map()
    tensors = {name: reader.get_tensor(name) for name, kind in types.items() if kind != tf.string}
    told = {name: (types[name].name, list(one.shape), one.tobytes().hex()) for name, one in tensors.items()}
    sys.stdout.write(json.dumps(told))
