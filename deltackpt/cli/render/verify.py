"""What verify found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deltackpt.cli.text import counted, moment, percent, shown, size
from deltackpt.maintenance.verify.completeness import Completeness, Presence
from deltackpt.maintenance.verify.file import FileCheck
from deltackpt.maintenance.verify.report import Affected, Problem, Report, Sampled

_NAMES_IN_A_LINE = 8


def report_lines(report: Report, *, data: bool) -> Iterator[str]:
    yield from problem_lines(report.problems)
    looked = f"{counted(report.commits, 'commit')}, {counted(report.packs, 'pack')}, {counted(report.chunks, 'chunk')}"
    depth = "structure only; --data reads every byte"
    if data or report.sample is not None:
        depth = f"{size(report.read_bytes)} read, {size(report.checked_bytes)} decoded and hashed"
    found = "all good" if report.ok else counted(len(report.problems), "problem")
    yield f"{found}: {looked}, {depth}"
    if report.sample is not None:
        yield from _sample_lines(report.sample)


def problem_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Each problem with every commit that it affects, and what to do."""
    for problem in problems:
        yield f"PROBLEM {shown(problem.what)}"
        yield from (f"  affects {_affected(affected)}" for affected in problem.affects)
        yield f"  {shown(problem.advice)}"


def _affected(affected: Affected) -> str:
    step = "" if affected.step is None else f" (step {affected.step})"
    where = f"commit {affected.commit.short}{step}"
    if affected.part is None:
        return f"{where}, {', '.join(affected.tensors)}" if affected.tensors else where
    part = f"{where}, part {shown(repr(affected.part))}"
    if not affected.tensors:
        return part
    named = ", ".join(shown(repr(name)) for name in affected.tensors[:_NAMES_IN_A_LINE])
    more = len(affected.tensors) - _NAMES_IN_A_LINE
    return f"{part}: {named}{f' and {more:,} more, see --json' if more > 0 else ''}"


def _sample_lines(sample: Sampled) -> Iterator[str]:
    share = percent(sample.covered_bytes / sample.total_bytes) if sample.total_bytes else "all"
    since = f", since {moment(sample.since)}" if sample.since is not None else ""
    sampled = f"{counted(sample.packs, 'pack')}, {size(sample.sampled_bytes)}"
    yield f"sampled {sampled}; {share} of the store is checked{since}"
    if not sample.remembered:
        yield "this could not be written down beside the index: the next sample is of the same packs"


def report_document(report: Report, *, data: bool) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "data": data,
        "commits": report.commits,
        "packs": report.packs,
        "chunks": report.chunks,
        "read_bytes": report.read_bytes,
        "checked_bytes": report.checked_bytes,
        "sample": None if report.sample is None else _sample_document(report.sample),
        "problems": [problem_document(problem) for problem in report.problems],
    }


def problem_document(problem: Problem) -> dict[str, Any]:
    affects = [
        {"commit": str(a.commit), "step": a.step, "part": a.part, "tensors": list(a.tensors)} for a in problem.affects
    ]
    return {"what": problem.what, "advice": problem.advice, "affects": affects}


def _sample_document(sample: Sampled) -> dict[str, Any]:
    return {
        "packs": sample.packs,
        "sampled_bytes": sample.sampled_bytes,
        "covered_bytes": sample.covered_bytes,
        "total_bytes": sample.total_bytes,
        "since": sample.since,
        "remembered": sample.remembered,
    }


def file_lines(check: FileCheck) -> Iterator[str]:
    for difference in check.differences:
        yield f"DIFFERENT tensor {shown(repr(difference.name))} {shown(difference.what)}"
    if check.identical:
        yield f"{shown(check.path)} is the file that was committed as {check.commit.description}, byte for byte"
        return
    part = f", part {shown(repr(check.part))}" if check.part is not None else ""
    told = f"of {counted(check.equal + len(check.differences), 'tensor')}, {check.equal:,} are equal"
    yield f"{shown(check.path)} against commit {check.commit.description}{part}: {told}"
    if check.ok and check.identical is False:
        yield "the bytes around its tensors are not those of the file that was committed"


def file_document(check: FileCheck) -> dict[str, Any]:
    return {
        "ok": check.ok,
        "file": check.path,
        "commit": str(check.commit.id),
        "step": check.commit.step,
        "part": check.part,
        "equal": check.equal,
        "differences": [{"name": d.name, "what": d.what} for d in check.differences],
        "identical": check.identical,
    }


_ADVICE = {
    Presence.THINNED: "thinned: `deltackpt undelete {id}` brings it back until gc",
    Presence.DAMAGED: "damaged: `deltackpt verify` says how",
    Presence.MISSING: "missing",
}


def completeness_lines(found: Completeness) -> Iterator[str]:
    for name, presence in found.found.items():
        if presence is not Presence.PRESENT:
            yield f"{shown(name)} is {_ADVICE[presence].format(id=found.commit.id.short)}"
    whole = "complete" if found.ok else "not complete"
    yield f"commit {found.commit.description} is {whole}: {', '.join(shown(name) for name in found.found)}"


def completeness_document(found: Completeness) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "commit": str(found.commit.id),
        "step": found.commit.step,
        "requires": {name: str(presence) for name, presence in found.found.items()},
    }
