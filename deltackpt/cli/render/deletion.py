"""What a policy keeps, what can be brought back, and what the log has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deltackpt.cli.columns import aligned
from deltackpt.cli.render.commits import brief_metrics, commit_document, step
from deltackpt.cli.text import counted, moment, shown, size
from deltackpt.history.oplog import Operation
from deltackpt.history.recoverable import Recoverable
from deltackpt.maintenance.prune import PrunePlan


def prune_lines(plan: PrunePlan, *, dry_run: bool) -> Iterator[str]:
    yield shown(str(plan.keep))
    thinned = {commit.id for commit, _ in plan.thinned}
    rows = [
        ["thin" if kept.commit.id in thinned else "keep", kept.commit.description, shown(", ".join(kept.reasons))]
        for kept in plan.kept
    ]
    rows += [
        ["delete", commit.description, "to fit the budget" if commit.id in plan.squeezed else ""]
        for commit in plan.deleted
    ]
    if rows:
        yield from aligned(rows)
    delete, thin = ("would delete", "thin") if dry_run else ("deleted", "thinned")
    freed = f"gc frees {size(plan.freed_bytes)} ({counted(plan.freed_bytes, 'byte')})"
    yield f"{delete} {counted(len(plan.deleted), 'commit')}, {thin} {len(thinned)}; {freed}"
    if plan.excess_bytes:
        yield f"still {size(plan.excess_bytes)} over the budget: what stays has a name, or is the best or the newest"


def prune_document(plan: PrunePlan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "policy": list(plan.keep.explain()),
        "kept": [{"id": str(kept.commit.id), "reasons": list(kept.reasons)} for kept in plan.kept],
        "deleted": [str(commit.id) for commit in plan.deleted],
        "thinned": [{"id": str(commit.id), "part": part} for commit, part in plan.thinned],
        "squeezed": [str(commit) for commit in sorted(plan.squeezed)],
        "freed_bytes": plan.freed_bytes,
        "left_bytes": plan.left_bytes,
        "excess_bytes": plan.excess_bytes,
    }


def recoverable_lines(found: Sequence[Recoverable]) -> Iterator[str]:
    """What can be brought back, and how."""
    if not found:
        yield "nothing that was deleted can be brought back"
        return
    yield from aligned(
        [
            (r.commit.id.short, moment(r.commit.time), step(r.commit), _loss(r), brief_metrics(r.commit), r.remedy)
            for r in found
        ]
    )


def _loss(found: Recoverable) -> str:
    return f"{found.loss}: {shown(', '.join(found.parts))}" if found.parts else str(found.loss)


def recoverable_document(found: Recoverable) -> dict[str, Any]:
    return commit_document(found.commit) | {"loss": str(found.loss), "lost_parts": list(found.parts)}


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
