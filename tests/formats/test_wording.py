"""A refusal is one printable line, whatever the file holds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from deltackpt.formats.wording import complaint, excerpt, quoted, shown_path


def test_the_line_says_what_where_what_was_expected_and_found() -> None:
    assert complaint("m.st", "the header", 8, "'{'", "b'['") == "m.st: the header at byte 8; expected '{', found b'['"


def test_a_long_name_is_cut_and_its_length_told() -> None:
    assert quoted("w" * 81) == f"'{'w' * 80}'... (81 characters)"
    assert quoted("w" * 80) == f"'{'w' * 80}'"


def test_an_excerpt_is_24_bytes_or_the_word_for_nothing() -> None:
    assert excerpt(b"\0" * 30, 4, "the end") == repr(b"\0" * 24)
    assert excerpt(b"abc", 3, "the end") == "the end"


@settings(max_examples=50)
@given(st.text(max_size=100), st.binary(max_size=40))
def test_nothing_that_a_terminal_obeys_gets_through(text: str, raw: bytes) -> None:
    assert quoted(text).isprintable()
    assert shown_path(text).isprintable()
    assert excerpt(raw, 0, "nothing").isprintable()
