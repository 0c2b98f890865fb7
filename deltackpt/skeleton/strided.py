"""Moving elements between C order and strided memory, as bits: no value is ever interpreted."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltackpt.skeleton.view import View

# NumPy assigns words several times faster than opaque bytes; a complex assignment copies both halves as they are.
_WORDS = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}


def _window(memory: memoryview | bytes | bytearray, view: View) -> np.ndarray[Any, Any]:
    word = _WORDS[view.dtype.itemsize]
    return np.ndarray(view.shape, word, memory, view.offset, view.strides)


def scatter(plain: memoryview, view: View, memory: memoryview) -> None:
    """Write C-order bytes into ``memory`` at the places of ``view``."""
    if view.nbytes:
        _window(memory, view)[...] = _window(plain, View(view.dtype, view.shape))


def gather(memory: memoryview, view: View) -> bytes:
    """The C-order bytes of the window ``view`` on ``memory``."""
    return _window(memory, view).tobytes() if view.nbytes else b""
