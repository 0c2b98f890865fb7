"""Publishing what changes history without bringing any chunks: names moved, commits deleted, operations undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deltackpt.chunkstore.view import View
from deltackpt.history.repository import Repository

if TYPE_CHECKING:
    from deltackpt.chunkstore.transaction import Decision


def publish(repository: Repository, decide: Callable[[View], Decision]) -> None:
    """Publish what ``decide`` makes of the store as of the record before; a full disk gives up its reserve for that."""
    # Listing refs goes without what writing takes: 10 ms to import.
    from deltackpt.chunkstore.transaction import Transaction

    def attempt() -> None:
        with Transaction(repository.chunks, repository.reader) as transaction:
            transaction.publish(decide)

    repository.chunks.despite_full_disk(attempt)
