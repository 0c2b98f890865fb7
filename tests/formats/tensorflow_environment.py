"""TensorFlow's interpreter, for what it alone can say about a file."""

from __future__ import annotations

from pathlib import Path

from frameworks import TENSORFLOW

wanted = TENSORFLOW.wanted


def run(script: Path, *arguments: str) -> str:
    """What ``script`` prints when TensorFlow's interpreter runs it."""
    return TENSORFLOW.run(script, *arguments)
