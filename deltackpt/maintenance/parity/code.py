"""The Reed-Solomon code: a stripe of data blocks and the parity blocks from which as many lost ones come back.

Over GF(2^8) with the polynomial 0x11d. Parity block *i* of a stripe of *k* is the sum over its data blocks *j* of
block *j* over ``(k + i) ^ j``, a Cauchy matrix: any *k* of the *k + m* blocks tell the others. Computed by ISA-L, by
way of PyECLib.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from deltackpt.errors import InvalidInputError, UnsupportedError

MAX_BLOCKS = 32
"""Blocks of a stripe, as many as the library knows."""
LEAST_SHARE, MOST_SHARE = 0.04, 1.0
MULTIPLE = 64
"""Block sizes are multiples of that."""


class Code:
    """``data`` blocks in a stripe, and ``parity`` blocks beside them; all blocks are of one size."""

    def __init__(self, data: int, parity: int) -> None:
        self.data = data
        self.parity = parity

    @classmethod
    def of_share(cls, share: float) -> Code:
        """The code with the most blocks whose parity takes ``share`` of the data, or a little more."""
        if not LEAST_SHARE <= share <= MOST_SHARE:
            raise InvalidInputError(f"parity of {share:.1%} is not possible; name a share from 4% to 100%")
        parity = max(1, int(MAX_BLOCKS * share / (1 + share)))
        return cls(min(int(parity / share), MAX_BLOCKS - parity), parity)

    def encode(self, blocks: Sequence[bytes]) -> list[bytes]:
        """The parity blocks of a whole stripe."""
        fragments = self._library.encode(b"".join(blocks))
        header = len(fragments[0]) - len(blocks[0])
        return [fragment[header:] for fragment in fragments[self.data :]]

    def restore(self, blocks: Sequence[bytes | None]) -> list[bytes]:
        """The data blocks of a stripe, of whose data and parity blocks no more than ``parity`` are missing."""
        missing = [at for at, block in enumerate(blocks[: self.data]) if block is None]
        size = next(len(block) for block in blocks if block is not None)
        # The library wants its own headers, which say nothing of what is in a block.
        headers = [fragment[:-size] for fragment in self._library.encode(bytes(size * self.data))]
        there = [header + block for header, block in zip(headers, blocks, strict=True) if block is not None]
        made = self._library.reconstruct(there, missing) if missing else []
        found = {at: fragment[-size:] for at, fragment in zip(missing, made, strict=True)}
        return [found[at] if block is None else block for at, block in enumerate(blocks[: self.data])]

    @cached_property
    def _library(self) -> Any:
        try:
            from pyeclib.ec_iface import ECDriver
        except ImportError:
            raise UnsupportedError("parity needs PyECLib; install deltackpt[parity]") from None
        return ECDriver(k=self.data, m=self.parity, ec_type="isa_l_rs_cauchy")
