"""CRC-32C, the checksum of an index's blocks, for a few megabytes at most.

The bytes are cut into lanes that NumPy advances together. A checksum is linear over its message, so the lanes' are
joined by shifting each over the bytes behind it. (RFC 3720, appendix B.4; LevelDB masks what it stores.)
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_LANE = 256
_MASK_DELTA = 0xA282EAD8
# Below this size going byte by byte is faster.
_LEAST = 4096


def masked_crc32c(data: bytes) -> int:
    """The checksum of ``data`` as LevelDB's tables store it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The plain checksum."""
    import numpy as np

    if len(data) < _LEAST:
        return _by_byte(data)
    # Starting from all ones is the same as turning the first four bytes; zeros in front then change nothing.
    head = bytes(byte ^ 0xFF for byte in data[:4])
    padded = bytes(-len(data) % _LANE) + head + data[4:]
    lanes = np.frombuffer(padded, np.uint8).reshape(-1, _LANE).T.astype(np.uint32)
    crc = 0
    for lane in _advanced(np.zeros(lanes.shape[1], np.uint32), lanes).tolist():
        crc = _shifted(crc) ^ lane
    return crc ^ 0xFFFFFFFF


def _by_byte(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _table().tolist()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _advanced(crcs: Words, columns: Words) -> Words:
    """Each checksum after the bytes below it, one row of ``columns`` after the other."""
    table = _table()
    for column in columns:
        crcs = table[(crcs ^ column) & 0xFF] ^ crcs >> 8
    return crcs


def _shifted(crc: int) -> int:
    """The checksum after one lane of zeros."""
    tables = _shift_tables()
    return tables[0][crc & 0xFF] ^ tables[1][crc >> 8 & 0xFF] ^ tables[2][crc >> 16 & 0xFF] ^ tables[3][crc >> 24]


@cache
def _table() -> Words:
    """The checksum of each byte by itself."""
    import numpy as np

    crcs: Words = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crcs = (crcs >> np.uint32(1)) ^ (crcs & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return crcs


@cache
def _shift_tables() -> list[list[int]]:
    """What a lane of zeros makes of each byte of a checksum."""
    import numpy as np

    crcs = np.concatenate([np.arange(256, dtype=np.uint32) << np.uint32(8 * place) for place in range(4)])
    shifted = _advanced(crcs, np.zeros((_LANE, 1), np.uint32))
    tables: list[list[int]] = shifted.reshape(4, 256).tolist()
    return tables
