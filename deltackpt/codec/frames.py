"""zstd frames: one context per thread and purpose, sizes checked before anything is decoded.

Two purposes want two settings. After a split into byte planes there is little left to match and nearly all the
gain is Huffman's, so :func:`squeeze` runs zstd's fastest search with long matches and a tiny hash table: smaller
*and* faster than level 1. Bytes that were not split (text, indices) have matches, which :func:`compress` looks for.
"""

from __future__ import annotations

import threading

import zstandard
from zstandard import ZstdCompressionParameters, ZstdCompressor, ZstdDecompressor, ZstdError

from deltackpt.codec.lanes import Bytes
from deltackpt.codec.payload import PayloadError

_WHOLE_LEVEL = 3
# target_length 0 keeps Huffman on; any other value makes zstd store literals plainly in this strategy.
_PLANE_PARAMETERS = {
    "window_log": 18,
    "hash_log": 10,
    "chain_log": 6,
    "search_log": 1,
    "min_match": 7,
    "target_length": 0,
    "strategy": zstandard.STRATEGY_FAST,
}


class _Contexts(threading.local):
    """A zstd context must not be used by two threads at once, and costs more to make than to use."""

    def __init__(self) -> None:
        self.plane = ZstdCompressor(compression_params=ZstdCompressionParameters(**_PLANE_PARAMETERS))
        self.whole = ZstdCompressor(level=_WHOLE_LEVEL)
        self.reader = ZstdDecompressor()


_contexts = _Contexts()


def squeeze(plane: Bytes) -> bytes:
    """One frame of a byte plane, its size declared. A new object, never scratch."""
    return _fitted(_contexts.plane.compress(plane.data))


def compress(plain: Bytes) -> bytes:
    """One frame of bytes as they are, its size declared."""
    return _fitted(_contexts.whole.compress(plain.data))


def _fitted(frame: bytes) -> bytes:
    """The frame in memory of its own size: zstd's keeps the room of the largest frame that it might have become."""
    return bytes(memoryview(frame))


def decompress(frame: memoryview, size: int) -> bytes:
    """The ``size`` plain bytes of exactly one frame; PayloadError for anything else.

    zstd allocates what a frame declares whatever limit it is given, so the declaration is compared first.
    """
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared != size or size == 0:
            raise PayloadError(f"{size} bytes expected in a zstd frame, {declared} declared")
        plain = _contexts.reader.decompress(frame, allow_extra_data=False)
    except ZstdError as e:
        raise PayloadError(f"damaged zstd frame ({e})") from e
    if len(plain) != size:
        raise PayloadError(f"{size} bytes expected from a zstd frame, {len(plain)} found")
    return plain
