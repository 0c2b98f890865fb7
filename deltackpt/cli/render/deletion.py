"""What a policy keeps, and what the log has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deltackpt.cli.columns import aligned
from deltackpt.cli.text import counted, moment, shown, size
from deltackpt.history.oplog import Operation
from deltackpt.maintenance.prune import PrunePlan


def prune_lines(plan: PrunePlan, *, dry_run: bool) -> Iterator[str]:
    thinned = {commit.id for commit, _ in plan.thinned}
    rows = [
        ["thin" if kept.commit.id in thinned else "keep", kept.commit.description, shown(", ".join(kept.reasons))]
        for kept in plan.kept
    ]
    rows += [["delete", commit.description, ""] for commit in plan.deleted]
    if rows:
        yield from aligned(rows)
    verb = "would delete" if dry_run else "deleted"
    yield f"{verb} {counted(len(plan.deleted), 'commit')}, thinned {len(thinned)}; gc frees {size(plan.freed_bytes)}"


def prune_document(plan: PrunePlan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "kept": [{"id": str(kept.commit.id), "reasons": list(kept.reasons)} for kept in plan.kept],
        "deleted": [str(commit.id) for commit in plan.deleted],
        "thinned": [{"id": str(commit.id), "part": part} for commit, part in plan.thinned],
        "freed_bytes": plan.freed_bytes,
    }


def operation_lines(operations: Sequence[Operation]) -> Iterator[str]:
    rows = [
        [str(o.number), moment(o.time), shown(o.operation), shown(o.actor), shown("; ".join(o.what))]
        for o in operations
    ]
    if rows:
        yield from aligned(rows, right=frozenset({0}))


def operation_document(operation: Operation) -> dict[str, Any]:
    return {
        "number": operation.number,
        "time": operation.time,
        "operation": operation.operation,
        "actor": operation.actor,
        "what": list(operation.what),
    }
