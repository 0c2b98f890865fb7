"""The code against its definition, and every loss that it can bear."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from deltackpt import InvalidInputError
from deltackpt.maintenance.parity.code import MAX_BLOCKS, Code

SIZE = 64


def times(a: int, b: int) -> int:
    """The product in GF(2^8) with the polynomial 0x11d."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def over(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


def stripe(code: Code, seed: int = 1) -> list[bytes]:
    chance = random.Random(seed)
    return [chance.randbytes(SIZE) for _ in range(code.data)]


@pytest.mark.parametrize(("data", "parity"), [(1, 1), (2, 1), (3, 2), (20, 1), (20, 4), (16, 16)])
def test_parity_is_what_the_page_says(data: int, parity: int) -> None:
    blocks = stripe(Code(data, parity))
    for i, block in enumerate(Code(data, parity).encode(blocks)):
        factors = [over((data + i) ^ j) for j in range(data)]
        for at in (0, 1, SIZE - 1):
            expected = 0
            for factor, one in zip(factors, blocks, strict=True):
                expected ^= times(factor, one[at])
            assert block[at] == expected


@pytest.mark.parametrize(("data", "parity"), [(1, 1), (3, 2), (4, 3)])
def test_any_loss_of_as_many_blocks_comes_back(data: int, parity: int) -> None:
    code = Code(data, parity)
    blocks = stripe(code)
    every = [*blocks, *code.encode(blocks)]
    for count in range(parity + 1):
        for lost in combinations(range(data + parity), count):
            assert code.restore([None if at in lost else block for at, block in enumerate(every)]) == blocks


@pytest.mark.parametrize("share", [0.04, 0.05, 0.1, 0.125, 0.25, 0.5, 1.0])
def test_a_share(share: float) -> None:
    code = Code.of_share(share)
    assert code.data + code.parity <= MAX_BLOCKS
    assert share <= code.parity / code.data < share * 1.1


def test_shares_of_five_and_ten_percent() -> None:
    assert [(code.data, code.parity) for code in map(Code.of_share, (0.05, 0.1))] == [(20, 1), (20, 2)]


@pytest.mark.parametrize("share", [0.0, 0.01, 1.5])
def test_a_share_that_is_not_possible(share: float) -> None:
    with pytest.raises(InvalidInputError, match="from 4% to 100%"):
        Code.of_share(share)
