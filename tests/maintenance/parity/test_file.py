"""The bytes of docs/format/parity.md; damage to a head is told."""

from __future__ import annotations

import pytest
from documents import golden

from deltackpt.errors import CorruptError
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.code import Code
from deltackpt.maintenance.parity.file import ParityFile, Stripes

PACK = PackId(bytes(range(16)))


def test_the_page() -> None:
    written = ParityFile.of(PACK, bytes(range(100)), Code(2, 1)).encode()
    assert written == golden("parity.md", "parity")
    read = ParityFile.decode(written, PACK, "here")
    assert read.encode() == written
    assert (read.stripes.size, read.stripes.block, read.stripes.count, read.stripes.stripes) == (100, 64, 2, 1)


def test_neighbours_belong_to_different_stripes() -> None:
    cut = Stripes.of(64 << 20, Code(20, 1))
    assert (cut.block, cut.count, cut.stripes) == (65_536, 1_024, 52)
    assert cut.blocks(3)[:3] == [3, 55, 107]
    assert sorted(number for stripe in range(52) for number in cut.blocks(stripe)) == list(range(1_040))


def test_every_bit_of_the_head() -> None:
    written = ParityFile.of(PACK, bytes(range(100)), Code(2, 1)).encode()
    end = len(written) - 64
    for at in range(end):
        for bit in range(8):
            damaged = written[:at] + bytes([written[at] ^ 1 << bit]) + written[at + 1 :]
            with pytest.raises(CorruptError, match="the head is damaged"):
                ParityFile.decode(damaged, PACK, "here")
    for length in range(end):
        with pytest.raises(CorruptError, match="the head is damaged"):
            ParityFile.decode(written[:length], PACK, "here")
    with pytest.raises(CorruptError):
        ParityFile.decode(written, PackId(bytes(16)), "here")


def test_damaged_parity_blocks_are_not_used() -> None:
    written = bytearray(ParityFile.of(PACK, bytes(range(100)), Code(2, 2)).encode())
    written[-1] ^= 1
    first, second = ParityFile.decode(bytes(written), PACK, "here").beside(0)
    assert first is not None
    assert second is None
