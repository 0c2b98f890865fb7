"""What was lost, named by the commit that somebody wants to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltackpt.chunkstore.reader import ChunkLostError
from deltackpt.history.commits import Commit


@contextmanager
def losses_of(commit: Commit) -> Iterator[None]:
    """Within the block, a ChunkLostError says that it was met in ``commit``; ``deltackpt verify`` lists all of them."""
    try:
        yield
    except ChunkLostError as error:
        raise ChunkLostError(f"commit {commit.description}: {error}") from error
