"""The numbers of the skeleton format, and its limits."""

from __future__ import annotations

import enum

VERSION = 0

MAX_DEPTH = 128
"""Containers within containers, in a state and in a skeleton alike: what fits Python's stack with room to spare."""

LARGE_VALUE = 1 << 20
"""Bytes of a ``bytes``, ``bytearray`` or ``str`` beyond which it stands in the tensor table, and is cut into chunks."""

MAX_SKELETON = 120 << 20
"""Bytes of everything else of a part that is no tensor: a skeleton is stored in one piece."""

SLACK_FACTOR = 4
SLACK_BYTES = 4096
"""Memory with holes is kept up to ``SLACK_FACTOR`` times its data plus ``SLACK_BYTES``; beyond, holes are closed."""


class Tag(enum.IntEnum):
    """What the next node is. The numbers are on disk: never reuse or renumber one."""

    INT = 1
    BIG_INT = 2
    SURROGATE_STR = 3
    BYTES = 4
    BYTEARRAY = 5
    COMPLEX = 6
    RANGE = 7
    SLICE = 8
    LARGE_VALUE = 9

    LIST = 10
    TUPLE = 11
    SET = 12
    FROZENSET = 13
    INT_LIST = 14
    INT_TUPLE = 15

    DICT = 20
    ORDERED_DICT = 21
    DEFAULT_DICT = 22
    COUNTER = 23
    STATE_DICT = 24
    PART = 25

    NAMED_TUPLE = 30
    DATACLASS = 31
    ENUM = 32
    FLAG = 33
    TENSOR_SUBCLASS = 34

    TENSOR = 40
    TENSOR_VIEW = 41
    SPARSE_TENSOR = 42
    TORCH_SIZE = 43
    TORCH_DTYPE = 44
    TORCH_DEVICE = 45
    SPARSE_PARAMETER = 46
    QUANTIZED_TENSOR = 47

    ARRAY = 50
    ARRAY_VIEW = 51
    NUMPY_SCALAR = 52
    RECORD_TYPE = 53


class Flag(enum.IntFlag):
    """Low bits of a tensor node's flags; the number of the twin stands above them. On disk: never renumber."""

    PARAMETER = 1
    REQUIRES_GRAD = 2


TWIN_SHIFT = 2
COALESCED = 1
"""In a sparse tensor's flags the lowest bit says that its indices are sorted and unique."""
READ_ONLY = 1
"""In a NumPy array's flags the lowest bit says that it cannot be written to."""

FACTORIES: dict[str, type | None] = {
    "None": None,
    **{factory.__name__: factory for factory in (int, float, str, list, dict, set, tuple, bool)},
}
"""What a ``defaultdict`` may make: the plain types, by name."""
