"""WordPiece, the tokenizer of BERT: lower case, split at punctuation, then the longest known pieces.

Source: Wu et al., "Google's Neural Machine Translation System" (2016); the vocabulary is the model's own.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


class WordPiece:
    """Text to token ids. Words with a piece that is not in the vocabulary become ``[UNK]``."""

    def __init__(self, vocabulary: Path) -> None:
        self.ids = {word: i for i, word in enumerate(vocabulary.read_text(encoding="utf-8").splitlines())}
        self.pad, self.unknown = self.ids["[PAD]"], self.ids["[UNK]"]
        self.start, self.end = self.ids["[CLS]"], self.ids["[SEP]"]

    def encode(self, text: str, length: int) -> list[int]:
        """Exactly ``length`` ids: start, pieces (cut off where they do not fit), end, padding."""
        pieces = [i for word in WORD.findall(text.lower()) for i in self._pieces(word)][: length - 2]
        ids = [self.start, *pieces, self.end]
        return ids + [self.pad] * (length - len(ids))

    def batch(self, texts: list[str], length: int) -> torch.Tensor:
        """Ids as int64, shape (texts, length)."""
        return torch.tensor([self.encode(text, length) for text in texts])

    def _pieces(self, word: str) -> list[int]:
        found: list[int] = []
        while word:
            piece = self._longest(word, "##" if found else "")
            if piece is None:
                return [self.unknown]
            token, used = piece
            found.append(token)
            word = word[used:]
        return found

    def _longest(self, word: str, prefix: str) -> tuple[int, int] | None:
        for stop in range(len(word), 0, -1):
            token = self.ids.get(prefix + word[:stop])
            if token is not None:
                return token, stop
        return None
