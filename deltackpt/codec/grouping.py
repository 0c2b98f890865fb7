"""Grouping: residuals sorted, stably, by the exponent of the base value.

An optimizer moves a weight by a distance that hardly depends on the weight, so in units of the last place small
weights move far and large ones barely. Residuals of one exponent are alike; each group is a block with statistics
of its own. The decoder has the base, so the order costs no bytes.

A full sort is the slowest thing a decoder could do. Nearly all values share a few neighbouring exponents, so there
is one group for each of those (at most ``MAX_GROUPS``) and one for the rest: a group is found with one comparison.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltackpt.codec.lanes import Lanes
from deltackpt.codec.payload import Cursor, PayloadError
from deltackpt.codec.scratch import scratch
from deltackpt.tensor.dtype import Element

_LAYOUT = struct.Struct("<HB")
MAX_GROUPS = 6
# An exponent that fewer than one value in 32 has is not worth a group: it goes to the rest.
_RARE = 32

Keys: TypeAlias = NDArray[np.uint8 | np.uint16]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grouping:
    """One group for each exponent field in ``first .. first + count - 1``, in that order, then the others."""

    first: int
    count: int

    def pack(self) -> bytes:
        return _LAYOUT.pack(self.first, self.count)

    @classmethod
    def read(cls, payload: Cursor, element: Element) -> Self:
        first, count = _LAYOUT.unpack(payload.take(_LAYOUT.size))
        if not 0 < count <= MAX_GROUPS or first + count > 1 << element.exponent_bits:
            raise PayloadError(f"{count} groups from exponent {first} of {element.name}")
        return cls(first, count)

    @classmethod
    def fitting(cls, keys: Keys, element: Element) -> Self:
        """The grouping that gives most of ``keys`` (not empty) a group of their own."""
        counts = np.bincount(keys, minlength=1 << element.exponent_bits)
        window = min(MAX_GROUPS, counts.size)
        covered = np.convolve(counts, np.ones(window, np.int64), "valid")
        first = int(covered.argmax())
        inside = counts[first : first + window]
        common = np.flatnonzero(inside >= min(keys.size / _RARE, inside.max()))
        return cls(first + int(common[0]), int(common[-1] - common[0]) + 1)

    def masks(self, keys: Keys) -> Iterator[Mask]:
        """Where each group's elements are: ``count`` groups, then the rest; without those that are empty.

        Every mask is the same scratch, so it is valid until the next one is asked for.
        """
        mask: Mask = scratch.array("mask", np.bool_, keys.size)
        numbers = self.numbers(keys)
        for number in range(self.count):
            np.equal(numbers, number, out=mask)
            if mask.any():
                yield mask
        np.greater_equal(numbers, self.count, out=mask)
        if mask.any():
            yield mask

    def numbers(self, keys: Keys) -> Keys:
        """The number of each element's group, in scratch; ``count`` or more for the rest."""
        numbers: Keys = scratch.array("group-numbers", keys.dtype, keys.size)
        np.subtract(keys, self.first, out=numbers)  # wraps below `first`, far beyond `count`
        return numbers


def exponents(base: Lanes, element: Element) -> Keys:
    """The exponent field of each value of ``base`` (a float element), in scratch."""
    dtype = np.uint8 if element.exponent_bits <= 8 else np.uint16
    shifted = scratch.array("exponent-shifted", base.dtype, base.size)
    keys: Keys = scratch.array("exponents", dtype, base.size)
    np.right_shift(base, element.mantissa_bits, out=shifted)
    np.copyto(keys, shifted, casting="unsafe")
    np.bitwise_and(keys, (1 << element.exponent_bits) - 1, out=keys)
    return keys
