"""Words in the glossary are those of the code."""

from __future__ import annotations

import re

import pytest
from documents import ROOT

ENTRY = re.compile(r"^\*\*([^*]+)\*\*: (.+?)\s\(`([^`]+)`\)$", re.MULTILINE | re.DOTALL)
ENTRIES = ENTRY.findall((ROOT / "docs" / "glossary.md").read_text())


def test_every_paragraph_is_an_entry_and_they_stand_in_order() -> None:
    paragraphs = (ROOT / "docs" / "glossary.md").read_text().strip().split("\n\n")[2:]
    words = [word for word, _, _ in ENTRIES]
    assert len(words) == len(paragraphs)
    assert words == sorted(set(words))


@pytest.mark.parametrize(("word", "home"), [(word, home) for word, _, home in ENTRIES])
def test_a_word_is_used_where_it_is_at_home(word: str, home: str) -> None:
    source = " ".join((ROOT / "deltackpt" / home).read_text().lower().split())
    assert all(piece.lower() in source for piece in word.split())
