"""Residuals: a chunk minus its base, bit pattern by bit pattern, arranged so that small ones have quiet planes.

Floats and integers alike are subtracted as unsigned integers, wrapping. For two floats of one sign that is the
distance in representable values; where the sign changes only the top bit moves, and the magnitudes still cancel.

A small negative residual would fill its high bytes with ones. Adding 0x80 to every byte but the highest makes each
byte a balanced digit: the high planes of all residuals within ±127 of each other's multiples are equal, as after
zigzag coding, for one addition instead of three passes.
"""

from __future__ import annotations

import numpy as np

from deltackpt.codec.lanes import Lanes


def balance(width: int) -> int:
    """0x80 in every byte of an element but the highest."""
    return int.from_bytes(b"\x80" * (width - 1) + b"\0", "little")


def subtract(lanes: Lanes, base: Lanes, out: Lanes) -> Lanes:
    """``out`` becomes the balanced residuals of ``lanes`` against ``base``; all of one size."""
    np.subtract(lanes, base, out=out)
    return np.add(out, balance(out.itemsize), out=out)


def restore(residuals: Lanes, base: Lanes, out: Lanes) -> None:
    """Undo :func:`subtract`; ``out`` may be ``residuals`` itself."""
    np.add(residuals, base, out=out)
    np.subtract(out, balance(out.itemsize), out=out)
