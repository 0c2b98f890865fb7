"""Run as a program: by how many MiB a conversion raises the peak of memory. ``peak_memory.py IN OUT FORMAT``."""

from __future__ import annotations

import sys
from pathlib import Path

from deltackpt.convert.convert import Conversion, convert_path

CLEAR = Path("/proc/self/clear_refs")


def peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    source, target, format = sys.argv[1:]
    # Once before, so that libraries are loaded.
    convert_path(source, f"{target}.warm", Conversion(format))
    CLEAR.write_text("5")
    before = peak()
    convert_path(source, target, Conversion(format))
    sys.stdout.write(str(peak() - before))
