"""Commits as lines and as documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deltackpt.cli.text import counted, figure, moment, shown, size
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId
from deltackpt.store import Store

_METRICS_IN_A_LINE = 3
_NAME_LIMIT = 40
_MESSAGE_LIMIT = 80


class Names:
    """The branches and tags of a store by the commit that they point to."""

    def __init__(self, store: Store) -> None:
        self.branches: dict[CommitId, list[str]] = {}
        self.tags: dict[CommitId, list[str]] = {}
        for kind, refs in ((self.branches, store.branches()), (self.tags, store.tags())):
            for name, commit in refs.items():
                kind.setdefault(commit.id, []).append(name)

    def line(self, commit: CommitId) -> str:
        """``(main, tag: best)``, or nothing."""
        names = [*self.branches.get(commit, []), *(f"tag: {name}" for name in self.tags.get(commit, []))]
        return f"({', '.join(map(shown, names))})" if names else ""


def step(commit: Commit) -> str:
    return f"step {commit.step}" if commit.step is not None else "no step"


def added(commit: Commit) -> str:
    """What the commit added to the store."""
    return f"+{size(commit.stored_bytes)}"


def metrics(values: Mapping[str, float], limit: int | None = None) -> str:
    """``val_loss 2.34  lr 0.001``."""
    listed = [f"{shown(name, _NAME_LIMIT)} {figure(value)}" for name, value in list(values.items())[:limit]]
    return "  ".join(listed) + ("  ..." if limit is not None and len(values) > limit else "")


def brief_metrics(commit: Commit) -> str:
    return metrics(commit.metrics, _METRICS_IN_A_LINE)


def subject(commit: Commit) -> str:
    """The first line of the message."""
    lines = commit.message.splitlines()
    return shown(lines[0], _MESSAGE_LIMIT) if lines else ""


def illness(commit: Commit) -> str:
    """A mark on a commit that is not healthy, or nothing."""
    if commit.healthy:
        return ""
    found = f"{counted(len(commit.nonfinite), 'tensor')} became non-finite" if commit.nonfinite else "still non-finite"
    return f"UNHEALTHY: {found}"


def commit_facts(commit: Commit, names: Names) -> Iterator[str]:
    """Everything about a commit but its tensors."""
    yield f"commit {commit.id} {names.line(commit.id)}".rstrip()
    for label, text in _facts(commit):
        yield f"{label:<12}{text}".rstrip()
    for line in commit.message.splitlines():
        yield f"    {shown(line)}".rstrip()
    for title, value in (("environment", commit.environment), ("config", commit.config), ("meta", commit.meta)):
        yield from _tree(title, value)


def _facts(commit: Commit) -> Iterator[tuple[str, str]]:
    yield "branch", shown(commit.branch)
    yield "step", str(commit.step) if commit.step is not None else "none"
    yield "time", moment(commit.time)
    yield "parents", " ".join(parent.short for parent in commit.parents) or "none"
    if commit.metrics:
        yield "metrics", metrics(commit.metrics)
    yield "size", f"{size(commit.logical_bytes)} plain, {size(commit.stored_bytes)} added"
    yield "holds", commit.holds
    if not commit.healthy:
        yield "health", illness(commit)
        for name in commit.nonfinite:
            yield "", shown(name)


def _tree(title: str, value: Any, depth: int = 0) -> Iterator[str]:
    """Free-form data, one entry a line."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        if not value and not depth:
            return
        yield f"{indent}{title}" if value else f"{indent}{title}: {{}}"
        for key, item in value.items():
            yield from _tree(shown(str(key)), item, depth + 1)
    else:
        yield f"{indent}{title}: {shown(value if isinstance(value, str) else repr(value))}"


def commit_document(commit: Commit, names: Names | None = None) -> dict[str, Any]:
    """The facts that a commit carries in the index."""
    document: dict[str, Any] = {
        "id": str(commit.id),
        "branch": commit.branch,
        "step": commit.step,
        "metrics": commit.metrics,
        "message": commit.message,
        "parents": [str(parent) for parent in commit.parents],
        "time": commit.time,
        "logical_bytes": commit.logical_bytes,
        "stored_bytes": commit.stored_bytes,
        "parts": [{"name": p.name, "tensors": p.tensors, "logical_bytes": p.nbytes} for p in commit.parts],
        "holds": commit.holds,
        "healthy": commit.healthy,
        "nonfinite": list(commit.nonfinite),
    }
    if names is not None:
        document["branches"] = names.branches.get(commit.id, [])
        document["tags"] = names.tags.get(commit.id, [])
    return document


def full_document(commit: Commit, names: Names) -> dict[str, Any]:
    """The same with what is stored beside: environment, config and meta."""
    beside = {"environment": commit.environment, "config": commit.config, "meta": commit.meta}
    return commit_document(commit, names) | beside


def ref_lines(refs: Mapping[str, Commit]) -> Sequence[str]:
    """Branches or tags, one a line."""
    from deltackpt.cli.columns import aligned

    rows = [
        (shown(name), commit.id.short, step(commit), brief_metrics(commit), subject(commit))
        for name, commit in sorted(refs.items())
    ]
    return list(aligned(rows)) if rows else []


def ref_document(refs: Mapping[str, Commit]) -> list[dict[str, Any]]:
    return [{"name": name, "commit": commit_document(commit)} for name, commit in sorted(refs.items())]
