"""Stated limits of a zip archive's directory."""

MAX_ENTRIES = 1 << 20
MAX_DIRECTORY_BYTES = 1 << 27
"""Read at once; an entry has about 100 bytes."""

MAX_NAME_BYTES = 4096
MAX_COMMENT_BYTES = (1 << 16) - 1
"""What the format itself allows."""
