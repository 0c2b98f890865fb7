"""What gc, repack and parity did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deltackpt.cli.text import counted, size
from deltackpt.maintenance.gc import GcPlan
from deltackpt.maintenance.parity.protect import Protection
from deltackpt.maintenance.repack.repack import RepackReport


def gc_lines(plan: GcPlan, *, dry_run: bool) -> Iterator[str]:
    if plan.empty:
        yield "nothing to collect"
        return
    yield f"{'would free' if dry_run else 'freed'} {size(plan.freed_bytes)}"
    yield f"  {counted(len(plan.dropped), 'commit')} that no branch or tag reaches"
    if plan.purged:
        yield f"  {counted(len(plan.purged), 'deletion')} of commits and parts, for good"
    yield f"  {counted(len(plan.condemned), 'pack')} with garbage, {size(plan.written_bytes)} of live data copied out"
    if plan.rebased:
        yield f"  {counted(len(plan.rebased), 'delta')} encoded anew, to leave a base that nothing else needs"
    yield f"  {counted(len(plan.orphans) + len(plan.leftovers), 'file')} left by writers that did not finish"


def gc_document(plan: GcPlan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "freed_bytes": plan.freed_bytes,
        "removed_bytes": plan.removed_bytes,
        "written_bytes": plan.written_bytes,
        "dropped_commits": [str(commit) for commit in plan.dropped],
        "purged": [{"id": str(commit), "part": part} for commit, part in plan.purged],
        "condemned_packs": [str(pack) for pack in plan.condemned],
        "orphan_packs": [str(pack) for pack in plan.orphans],
        "leftover_files": list(plan.leftovers),
        "copied_records": len(plan.copied),
        "rebased_records": len(plan.rebased),
    }


def repack_lines(report: RepackReport, *, dry_run: bool) -> Iterator[str]:
    yield f"{counted(report.records, 'record')} {'would be ' if dry_run else ''}encoded anew"
    yield f"  size: {size(report.before_bytes)}, then {'about ' if dry_run else ''}{size(report.after_bytes)}"
    yield f"  checkout of the newest commit: about {report.before_seconds:.2f} s, then {report.after_seconds:.2f} s"


def repack_document(report: RepackReport, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "records": report.records,
        "before_bytes": report.before_bytes,
        "after_bytes": report.after_bytes,
        "before_seconds": report.before_seconds,
        "after_seconds": report.after_seconds,
    }


def protection_lines(report: Protection) -> Iterator[str]:
    yield (
        f"parity of {size(report.nbytes)} written for {counted(report.packs, 'pack')};"
        f" {counted(report.kept, 'pack')} had it"
    )
    if report.removed:
        yield f"removed that of {counted(report.removed, 'pack')} that are gone"


def protection_document(report: Protection) -> dict[str, Any]:
    return {"packs": report.packs, "bytes": report.nbytes, "kept": report.kept, "removed": report.removed}
