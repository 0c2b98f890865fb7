"""Run as a program: by how many MiB a conversion raises the peak of memory.

``peak_memory.py IN SMALL OUT FORMAT [SHARD_BYTES]``; of a store, ``main`` is converted. SMALL is like IN.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deltackpt import Store
from deltackpt.convert.convert import Conversion, convert_path

CLEAR = Path("/proc/self/clear_refs")


def peak() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def convert(source: str, target: str, conversion: Conversion) -> None:
    if (Path(source) / "store.json").exists():
        Store(source).export("main", target, conversion)
    else:
        convert_path(source, target, conversion)


if __name__ == "__main__":
    source, small, target, format, *shards = sys.argv[1:]
    conversion = Conversion(format, shard_bytes=int(shards[0]) if shards else None)
    # A small one before, so that libraries are loaded.
    convert(small, f"{target}.warm", conversion)
    CLEAR.write_text("5")
    before = peak()
    convert(source, target, conversion)
    sys.stdout.write(str(peak() - before))
