"""Stated limits of a GGUF file. They bound what a hostile header can cost: about a second and its own bytes."""

MAX_HEADER_BYTES = 100_000_000
"""Everything before the tensors, vocabularies included; it is kept as it is. Real ones have up to 20 MB."""

MAX_TENSORS = 1 << 16
MAX_KEYS = 1 << 16

MAX_KEY_BYTES = (1 << 16) - 1
"""The format's own limit."""

MAX_NAME_BYTES = 4096
"""Of a tensor's name in UTF-8. The format says 64, but its Python library writes and reads longer ones."""

MAX_STRINGS = 1 << 21
"""Texts in all arrays together: each costs a step. The largest vocabularies have some 800,000 with their merges."""

MAX_TAKEN_ITEMS = 1 << 22
"""Items of an array that goes over into another file: each becomes a Python object."""

MAX_ARRAY_DEPTH = 4
"""Arrays of arrays are in the format's description, and no known writer makes any."""

MAX_RANK = 4
"""The format's own limit."""

MAX_ALIGNMENT = 1 << 20
"""Writers use 32."""

MAX_TENSOR_BYTES = (1 << 63) - 1
"""Zero dimensions left out."""
