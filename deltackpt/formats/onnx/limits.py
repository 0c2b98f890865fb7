"""Stated limits of an ONNX model. They bound what a hostile one can cost: about a second and a few megabytes."""

MAX_MODEL_BYTES = (1 << 31) - 1
"""The limit of protobuf itself; larger models keep their data in other files."""

MAX_FIELDS = 1 << 20
"""Fields of messages looked at, which is what time is spent on. A model of 30,000 nodes has some 500,000."""

MAX_TENSORS = 1 << 17

MAX_DEPTH = 100
"""Messages within messages: the limit of the official protobuf libraries."""

MAX_NAME_BYTES = 1024
"""Of a tensor's name with its path, in UTF-8: a path may be short in the file and be part of many names."""

MAX_RANK = 64
"""NumPy's limit."""

MAX_TENSOR_BYTES = (1 << 63) - 1
"""Zero dimensions left out."""

MAX_LOCATION_BYTES = 4096
MAX_EXTERNAL_KEYS = 64

MAX_PROPERTIES = 1 << 16
MAX_PROPERTY_BYTES = 100_000_000
"""Of a key or a value: as much as a header of safetensors has, which may come to stand there."""
