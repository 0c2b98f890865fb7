"""Stated limits of a TensorFlow index. They bound what a hostile one can cost: about a second and its own bytes."""

MAX_INDEX_BYTES = 16 << 20
"""Real ones have some 100 bytes for each tensor."""

MAX_BLOCKS = 1024
"""TensorFlow's have 256 KiB."""

MAX_ENTRIES = 1 << 16
MAX_FIELDS = 1 << 20
"""Fields of the values' messages, all together."""

MAX_KEY_BYTES = 8192
MAX_NAME_BYTES = 4096
MAX_RANK = 64
"""NumPy's limit; TensorFlow's is 254."""

MAX_SHARDS = 99_999
"""What the five digits of a file's name can count."""

MAX_TENSOR_BYTES = (1 << 63) - 1
"""Zero dimensions left out."""
