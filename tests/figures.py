"""What a campaign counted, kept where ``DELTACKPT_FIGURES`` says."""

from __future__ import annotations

import os


def note(line: str) -> None:
    """Add a line to the file of figures; to none when no file is named."""
    with open(os.environ.get("DELTACKPT_FIGURES", os.devnull), "a", encoding="utf-8") as figures:
        figures.write(f"{line}\n")
