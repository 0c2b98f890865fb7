"""Durations and sizes: what people write, and that what we write reads back."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.errors import InvalidInputError
from deltackpt.maintenance.quantity import duration_text, parse_duration, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90m", 5400), (" 12 h ", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "1.5d", "-1d", "7 days", "999999999999w", "1d2h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInputError, match="a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("64 MiB", 64 << 20),
        ("200GB", 200 * 10**9),
        ("200g", 200 * 10**9),
        ("1.5TB", 1_500_000_000_000),
        ("0.5KiB", 512),
        ("3PiB", 3 << 50),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "-1", "1.5B", "1 XB", "10i", "1e9", "٣", "1..5MB", "0.3333B"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInputError, match="a size such as"):
        parse_size(text)


@given(st.integers(0, 10**9))
def test_a_duration_reads_back(seconds: int) -> None:
    span = datetime.timedelta(seconds=seconds)
    assert parse_duration(duration_text(span)) == span


@given(st.integers(0, 10**18) | st.integers(0, 1000).map(lambda n: n << 30))
def test_a_size_reads_back(size: int) -> None:
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (2000, "2kB"), (1 << 20, "1MiB"), (200 * 10**9, "200GB")]
)
def test_a_size_in_few_digits(size: int, text: str) -> None:
    assert size_text(size) == text
