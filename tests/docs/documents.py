"""The fenced blocks of a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in _BLOCK.finditer(text)]


def golden(page: str, name: str) -> bytes:
    """The bytes of that name on a page of the format."""
    texts = [block.text for block in blocks(ROOT / "docs" / "format" / page) if block.language == "golden"]
    (text,) = [text for text in texts if text.startswith(f"{name}\n")]
    return bytes.fromhex(text.removeprefix(f"{name}\n"))
