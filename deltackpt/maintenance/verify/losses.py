"""What is lost with what: a chunk that cannot be had takes every delta on it along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from deltackpt.ids import ChunkId
from deltackpt.maintenance.verify.contents import Contents
from deltackpt.maintenance.verify.report import Finding


def with_deltas(contents: Contents, findings: Sequence[Finding]) -> list[Finding]:
    """The findings with every chunk that is lost by them, each under the first that it is lost by."""
    owners: dict[ChunkId, int] = {}
    for at, finding in enumerate(findings):
        for chunk in finding.chunks:
            owners.setdefault(chunk, at)
    if owners:
        _spread(contents, owners)
    lost: list[set[ChunkId]] = [set() for _ in findings]
    for chunk, at in owners.items():
        lost[at].add(chunk)
    return [replace(finding, chunks=frozenset(chunks)) for finding, chunks in zip(findings, lost, strict=True)]


def _spread(contents: Contents, owners: dict[ChunkId, int]) -> None:
    records = {id(place.entry): place.entry for place in contents.in_use.values()}
    # A base has a lower rank than what stands on it.
    for entry in sorted(records.values(), key=lambda entry: entry.head.rank):
        owner = next((owners[base] for base in entry.head.bases if base in owners), None)
        if owner is not None:
            for member in entry.head.members:
                if contents.in_use[member.id].entry is entry:
                    owners.setdefault(member.id, owner)


def left_over(findings: Iterable[Finding], unread: Mapping[ChunkId, str]) -> list[Finding]:
    """Findings of their own for chunks that nobody could decode and that are not lost by any of ``findings``."""
    lost = {chunk for finding in findings for chunk in finding.chunks}
    reasons: dict[str, list[ChunkId]] = {}
    for chunk, reason in unread.items():
        if chunk not in lost:
            reasons.setdefault(reason, []).append(chunk)
    return [Finding(reason, chunks=frozenset(chunks)) for reason, chunks in reasons.items()]
