"""A file's own checksums: the first part that is not as it was written is named."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor

from readings import as_file

from deltackpt.formats.checksums import Checksum, Comparison, first_mismatch

RAW = bytes(range(256)) * 8192


def checksum(name: str, offset: int, length: int) -> Checksum:
    return Checksum(name, offset, length, zlib.crc32(RAW[offset : offset + length]))


def test_parts_as_they_were_written_are_right() -> None:
    with as_file(RAW) as file:
        assert first_mismatch(file, [checksum("all", 0, len(RAW)), checksum("none", 5, 0), checksum("b", 3, 1)]) is None


def test_the_first_changed_part_is_named() -> None:
    parts = [checksum("a", 0, 100), checksum("data/\x1b", 100, len(RAW) - 100), checksum("c", 2_000_000, 9)]
    damaged = bytearray(RAW)
    damaged[2_000_000] ^= 1
    with as_file(bytes(damaged)) as file:
        found = first_mismatch(file, parts)
    crc = zlib.crc32(damaged[100:])
    assert str(found) == (
        rf"f: the bytes of 'data/\x1b' at byte 100; expected CRC-32 {parts[1].crc:08x}, found {crc:08x}"
    )


def test_threads_find_the_same_first_part() -> None:
    """While one waits for it nothing is lost, and once it is left nothing of the file is read."""
    damaged = bytearray(RAW * 6)
    parts = [
        Checksum(f"p{at}", at, 1 << 20, zlib.crc32(damaged[at : at + (1 << 20)])) for at in range(0, 12 << 20, 1 << 20)
    ]
    for at in (11 << 20, 7 << 20):
        damaged[at] ^= 1
    with as_file(bytes(damaged)) as file, ThreadPoolExecutor(3) as threads:
        with Comparison(file, parts, threads) as comparison:
            assert str(comparison.mismatch) == str(first_mismatch(file, parts))
            assert "'p7340032' at byte 7340032" in str(comparison.mismatch)
        with Comparison(file, parts[:7], threads) as comparison, Comparison(file, parts, threads):
            assert comparison.mismatch is None
        with Comparison(file, parts, None) as comparison:
            assert str(comparison.mismatch) == str(first_mismatch(file, parts))
