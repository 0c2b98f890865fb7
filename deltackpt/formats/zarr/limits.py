"""Stated limits of an array's description. They bound what a hostile one can cost: half a second and its own bytes."""

MAX_METADATA_BYTES = 64 << 20
"""A group's file may hold the descriptions of all its arrays."""

MAX_RANK = 64
"""NumPy's limit."""

MAX_CHUNK_BYTES = (1 << 63) - 1

MAX_NAME_BYTES = 4096
"""Of a chunk's name, in UTF-8."""

MAX_CHUNKS = 1 << 20
"""Of one array, inner ones counted each."""

MAX_INNER_CHUNKS = 1 << 16
"""Of one file. Their index has 1 MiB."""
