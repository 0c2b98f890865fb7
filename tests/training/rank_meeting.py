"""One of two ranks that meet in a folder: what it hears when the first one's action fails."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from torch import distributed

from deltackpt.errors import DeltackptError
from deltackpt.training.ranks import Ranks


def failing(error: Exception) -> NoReturn:
    raise error


def meet(rank: int, folder: str, error: Exception) -> None:
    """Writes what was raised to the file FOLDER/RANK."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    ranks = Ranks()
    try:
        ranks.from_first(lambda: failing(error))
    except (DeltackptError, OSError) as heard:
        Path(folder, str(rank)).write_text(f"{type(heard).__name__}: {heard}")
    assert ranks.from_first(lambda: "goes on") == "goes on"
    ranks.close()
    distributed.destroy_process_group()
