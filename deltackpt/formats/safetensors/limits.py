"""Stated limits of a safetensors file. Beyond one of them a file is refused, by reader and writer alike.

They bound what a hostile header can cost: at most the header's own 100 MB and a few hundred bytes for each
tensor are ever held, and nothing in a header nests deeper than the format itself.
"""

MAX_HEADER_BYTES = 100_000_000
"""The official library's own limit."""

MAX_TENSORS = 1 << 20
MAX_METADATA_KEYS = 1 << 16

MAX_RANK = 64
"""NumPy's limit."""

MAX_NAME_BYTES = 4096
"""Of a tensor's name in UTF-8. The longest names in real models have a few hundred."""

MAX_TENSOR_BYTES = (1 << 63) - 1
"""Zero dimensions left out: a shape of (0, 2**32, 2**32) has no strides in any framework."""
