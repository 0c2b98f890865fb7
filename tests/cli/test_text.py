"""Single values and tables as people read them."""

from __future__ import annotations

import datetime
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.cli.as_json import as_json
from deltackpt.cli.columns import aligned, cells
from deltackpt.cli.text import counted, percent, seconds, shape, shown, size, times


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0.0, "0 ms"),
        (0.0042, "4 ms"),
        (0.9994, "999 ms"),
        (0.9995, "1.0 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (95.4, "95 s"),
    ],
)
def test_times(count: float, text: str) -> None:
    assert seconds(count) == text


@given(st.text())
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text, 10)) <= 10


def test_printable_text_is_shown_as_it_is() -> None:
    assert shown("model/h.0.w  größe 重み [bold]") == "model/h.0.w  größe 重み [bold]"
    assert shown("a\nb\x1b\u202e\ud800\u2028") == r"a\nb\x1b\u202e\ud800\u2028"
    assert shown("abcdefghij", 8) == "abcde..."


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (4_000_000_000, "4.00 GB"),
        (-1500, "-1.50 kB"),
        (10**21, "1000 EB"),
    ],
)
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert size(count) == text


def test_numbers_do_not_pretend() -> None:
    assert [percent(value) for value in (0, 0.0001, 0.1234, 0.9999, 1)] == [
        "0.0 %",
        "< 0.1 %",
        "12.3 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert (times(1.44), times(250.4)) == ("1.4x", "250x")
    assert (counted(1, "tensor"), counted(12_000, "tensor")) == ("1 tensor", "12,000 tensors")
    assert (shape((3, 4)), shape(()), shape((0,))) == ("3 x 4", "-", "0")


def test_columns_are_aligned_also_where_characters_are_wide() -> None:
    rows = [("name", "n"), ("重み", "10"), ("e\u0301", "1")]
    assert list(aligned(rows, frozenset({1}), indent="  ")) == ["  name   n", "  重み  10", "  e\u0301      1"]
    assert cells("重みe\u0301") == 5


def test_json_has_a_word_for_everything() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    value = {"a": [math.nan, math.inf, -math.inf, 1.5], 3: (b"\x01", moment), "o": {1}, "t": True, "big": 10**30}
    assert json.loads(as_json(value)) == {
        "a": ["NaN", "Infinity", "-Infinity", 1.5],
        "3": ["01", "2026-01-02T03:04:05+00:00"],
        "o": "{1}",
        "t": True,
        "big": 10**30,
    }
    assert as_json("\x1b\ud800") == '"\\u001b\\ud800"'
