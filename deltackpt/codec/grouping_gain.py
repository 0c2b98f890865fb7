"""What grouping the residuals would save, judged from a sample of them.

Frames of a sample's groups would be mostly Huffman tables, so in a *busy* plane the gain is computed: it is the mutual
information of group and byte. A *quiet* plane is nearly constant, what counts there are runs and groups without any
change, which no entropy sees; its tables are tiny, so there the frames themselves tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deltackpt.codec.estimate import frame_size
from deltackpt.codec.grouping import Grouping, Keys
from deltackpt.codec.lanes import Bytes

# A group's planes bring headers and Huffman tables; measured, per group and compressed plane.
_TABLE_BYTES = 70
# A plane that leaves less than one in this many of its bytes is a quiet one.
_QUIET = 8
# n log2 n: counts of a sample are small, and a look-up is cheaper than a logarithm.
_COUNTS = np.arange((1 << 16) + 1)
_N_LOG_N = _COUNTS * np.log2(np.maximum(_COUNTS, 1))


@dataclass(frozen=True, slots=True)
class GroupedSample:
    """The order that groups a sample's elements, and where each group ends in it.

    ``labels`` are the group numbers times 256 of the values in ``normal``: those whose base is neither zero nor
    denormal. The others are mostly whole untouched rows: runs that need no grouping, and would count as its gain.
    """

    order: NDArray[np.intp]
    ends: tuple[int, ...]
    normal: NDArray[np.intp]
    labels: NDArray[np.intp]

    @classmethod
    def of(cls, keys: Keys, grouping: Grouping) -> Self:
        numbers = np.minimum(grouping.numbers(keys), grouping.count)
        normal = np.flatnonzero(keys)
        sizes = np.bincount(numbers, minlength=grouping.count + 1)
        labels = numbers[normal].astype(np.intp) << 8
        return cls(np.argsort(numbers, kind="stable"), tuple(np.cumsum(sizes).tolist()), normal, labels)

    def groups(self, plane: Bytes) -> Iterator[Bytes]:
        """The bytes of each group that is not empty."""
        ordered = plane[self.order]
        return (ordered[a:b] for a, b in zip((0, *self.ends), self.ends, strict=False) if a < b)


def grouping_gain(sample: Sequence[Bytes], noise: Sequence[bool], keys: Keys, grouping: Grouping, size: int) -> float:
    """Fraction of ``size`` plain bytes that grouping would save over one block of the same residuals.

    ``sample``: planes of sampled residuals; ``noise``: those that no grouping helps; ``keys``: their bases' exponents.
    """
    grouped = GroupedSample.of(keys, grouping)
    wholes = [0 if hopeless else frame_size(plane) for plane, hopeless in zip(sample, noise, strict=True)]
    saved = sum(_saved(plane, whole, grouped) for plane, whole in zip(sample, wholes, strict=True) if whole)
    tables = sum(whole > 0 for whole in wholes) * grouping.count * _TABLE_BYTES
    return saved / len(sample) - tables / size


def _saved(plane: Bytes, whole: int, grouped: GroupedSample) -> float:
    """Fraction of one plane that grouping saves; ``whole`` is its frame's size without."""
    if whole < plane.size // _QUIET:
        return (whole - sum(map(frame_size, grouped.groups(plane)))) / plane.size
    return _mutual_bits(grouped.labels, plane[grouped.normal]) / 8 * grouped.normal.size / plane.size


def _mutual_bits(labels: NDArray[np.intp], plane: Bytes) -> float:
    if not plane.size:
        return 0.0
    joint = np.bincount(labels + plane, minlength=(int(labels.max()) | 255) + 1).reshape(-1, 256)
    return _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint.ravel())


def _entropy(counts: NDArray[np.intp]) -> float:
    """Bits a value, with the correction of Miller and Madow (1955) for counts from a small sample."""
    total = int(counts.sum())
    plain = np.log2(total) - float(_N_LOG_N[counts].sum()) / total
    return float(plain + (np.count_nonzero(counts) - 1) / (2 * total * np.log(2)))
