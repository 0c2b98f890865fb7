"""Files damaged at random, and the one thing that must hold for all of them: typed errors, or spans that tile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from deltackpt.errors import FormatError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Span, check_tiling

Read = Callable[[SourceFile], tuple[Span, ...]]

_NUMBERS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 1 << 31, 1 << 32, (1 << 60) + 1, 1 << 63, (1 << 64) - 1]
_TOKENS = [number.to_bytes(8, "little") for number in _NUMBERS] + [b"\xff" * 10, b"\x0a", b"../", b"\0"]


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of ``seeds`` after one to four edits."""
    raw = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at, span = draw(st.integers(0, len(raw))), draw(st.integers(0, 12))
        match draw(st.integers(0, 5)):
            case 0 if at < len(raw):
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                raw[at : at + span] = b""
            case 2:
                raw[at:at] = draw(st.sampled_from(_TOKENS))
            case 3:
                token = draw(st.sampled_from(_TOKENS))
                raw[at : at + len(token)] = token
            case 4:
                raw[at:at] = raw[at : at + span * 4]
            case _:
                del raw[at:]
    return bytes(raw)


def read_or_refused(read: Read, raw: bytes) -> tuple[Span, ...] | None:
    """The spans of ``raw``, each byte covered once; None when it was refused, by a typed error on one line."""
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        try:
            spans = read(SourceFile.of(file.fileno(), "mutant"))
        except FormatError as error:
            assert str(error).startswith("mutant: ")  # noqa: PT017 - a file that is good is good too
            assert str(error).isprintable()  # noqa: PT017
            return None
    check_tiling(spans, len(raw), "mutant")
    return spans


def flipped(raw: bytes) -> list[bytes]:
    """``raw`` with each of its bits turned, one at a time."""
    return [
        raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :] for bit in range(8 * len(raw))
    ]
