"""A line on stderr for each thing under way, so that stdout holds nothing but tables."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
