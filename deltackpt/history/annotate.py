"""Metrics found after a commit was made, such as those of an evaluation that runs beside the training.

A commit never changes, so a later metric is a record of its own: it shows in the commit's metrics, steers refs such as
``min:val_loss``, and can be undone.
"""

from __future__ import annotations

from collections.abc import Mapping

from deltackpt.chunkstore.log_record import Annotation
from deltackpt.chunkstore.transaction import Decision, Transaction
from deltackpt.chunkstore.view import View
from deltackpt.errors import NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository


def annotate(repository: Repository, commit: Commit, metrics: Mapping[str, float]) -> None:
    """Add ``metrics`` to ``commit``, over those of the same names; NotFoundError when it is not there any more."""

    def decide(view: View) -> Decision:
        if view.commit(commit.id) is None or None in view.deleted(commit.id):
            raise NotFoundError(f"commit {commit.id.short} is not in the store any more")
        known = view.annotations(commit.id)
        notes = (Annotation(commit.id, name, known.get(name), value) for name, value in metrics.items())
        return Decision("annotate", annotated=tuple(notes))

    if metrics:
        with Transaction(repository.chunks, repository.reader) as transaction:
            transaction.publish(decide)
