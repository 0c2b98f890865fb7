"""What a policy keeps, against a model that takes each rule at its word and knows nothing but sets."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deltackpt import Keep
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch, Ref, Tag
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.lines import Line, Lines
from deltackpt.maintenance.retention import retain

NOW = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
TAGS = ["v1", "v2", "release-1", "release-2"]


def commit(number: int, parent: Commit | None, **facts: Any) -> Commit:
    defaults: dict[str, Any] = {"step": None, "metrics": {}, "healthy": True, "time": NOW}
    return Commit(
        id=CommitId(ChunkId.of(str(number).encode())),
        branch="",
        message="",
        parents=() if parent is None else (parent.id,),
        parts=(),
        thinned=(),
        logical_bytes=0,
        stored_bytes=0,
        nonfinite=(),
        _object=None,  # type: ignore[arg-type]
        _load=None,  # type: ignore[arg-type]
        **{**defaults, **facts},
    )


@dataclass(frozen=True)
class World:
    """Commits in the order of publishing, with branches and tags by name."""

    commits: tuple[Commit, ...]
    branches: Mapping[str, Commit]
    tags: Mapping[str, Commit]

    def line(self, head: Commit) -> list[Commit]:
        """Newest first."""
        by_id = {commit.id: commit for commit in self.commits}
        found = [head]
        while found[-1].parents:
            found.append(by_id[found[-1].parents[0]])
        return found

    def lines(self) -> dict[str, list[Commit]]:
        """By branch; then by each tag that no branch and no newer tag reaches."""
        lines = {name: self.line(head) for name, head in self.branches.items()}
        for name, head in sorted(self.tags.items(), key=lambda tag: -self.commits.index(tag[1])):
            if all(head not in line for line in lines.values()):
                lines[name] = self.line(head)
        return lines

    def as_lines(self) -> Lines:
        names: dict[CommitId, list[Ref]] = {}
        for name, head in self.branches.items():
            names.setdefault(head.id, []).append(Branch(name))
        for name, head in self.tags.items():
            names.setdefault(head.id, []).append(Tag(name))
        kinds: dict[str, Ref] = {name: Branch(name) for name in self.branches}
        lines = tuple(Line(kinds.get(name, Tag(name)), tuple(line)) for name, line in self.lines().items())
        return Lines(lines, names, {commit.id: at for at, commit in enumerate(self.commits)})


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 14))
    commits: list[Commit] = []
    for number in range(count):
        # Mostly a line, now and then a fork.
        parent = None if not commits else commits[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(commits))
        metrics = {
            name: draw(st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]))
            for name in ("loss", "acc")
            if draw(st.booleans())
        }
        commits.append(
            commit(
                number,
                parent,
                step=draw(st.none() | st.integers(0, 12)),
                metrics=metrics,
                healthy=draw(st.booleans()),
                time=NOW - datetime.timedelta(hours=draw(st.integers(-5, 60))),
            )
        )
    heads = draw(st.lists(st.sampled_from(commits), min_size=1, max_size=3))
    tagged = draw(st.lists(st.sampled_from(TAGS), unique=True, max_size=3))
    return World(
        tuple(commits),
        {f"b{at}": head for at, head in enumerate(heads)},
        {tag: draw(st.sampled_from(commits)) for tag in tagged},
    )


policies = st.builds(
    Keep,
    last=st.none() | st.integers(1, 4),
    every=st.none() | st.integers(1, 5),
    within=st.none() | st.integers(0, 50).map(lambda hours: f"{hours}h"),
    best=st.dictionaries(st.sampled_from(["min:loss", "max:loss", "max:acc"]), st.integers(1, 3), max_size=2),
    milestones=st.lists(st.integers(0, 12), max_size=2),
    tags=st.lists(st.sampled_from(["v*", "release-1", "*", "x"]), max_size=2),
    optimizer=st.none() | st.integers(1, 3),
)


def newest(line: Sequence[Commit], count: int) -> set[CommitId]:
    """All down to the healthy commit number ``count``."""
    return {c.id for at, c in enumerate(line) if sum(newer.healthy for newer in line[:at]) < count}


def best(line: Sequence[Commit], rule: str, count: int) -> set[CommitId]:
    """Those that fewer than ``count`` others beat; of equals the newer beats."""
    way, _, metric = rule.partition(":")
    measured = [(at, c) for at, c in enumerate(line) if not math.isnan(c.metrics.get(metric, math.nan))]

    def beats(one: tuple[int, Commit], other: tuple[int, Commit]) -> bool:
        a, b = one[1].metrics[metric], other[1].metrics[metric]
        return one[0] < other[0] if a == b else (a < b) == (way == "min")

    return {c.id for at, c in measured if sum(beats(other, (at, c)) for other in measured) < count}


def tagged(world: World, globs: Iterable[str]) -> set[CommitId]:
    return {c.id for name, c in world.tags.items() if any(fnmatchcase(name, glob) for glob in globs)}


def model_keeps(keep: Keep, world: World) -> set[CommitId]:
    kept = {c.id for c in (*world.branches.values(), *world.tags.values())}
    for line in world.lines().values():
        ids = {c.id for c in line}
        if keep.keeps_all:
            kept |= ids
        if keep.last is not None:
            kept |= newest(line, keep.last)
        if keep.every is not None:
            kept |= {c.id for c in line if c.step is not None and not c.step % keep.every}
        if keep.within is not None:
            kept |= {c.id for c in line if c.time >= NOW - keep.within}
        kept |= {c.id for c in line if c.step in keep.milestones}
        for rule, count in keep.best.items():
            kept |= best(line, rule, count)
    reached = {c.id for line in world.lines().values() for c in line}
    return kept & reached


def model_thins(keep: Keep, world: World, kept: set[CommitId]) -> set[CommitId]:
    if keep.optimizer is None:
        return set()
    full = tagged(world, keep.tags)
    for line in world.lines().values():
        full |= newest([c for c in line if c.id in kept], keep.optimizer)
    return kept - full


@settings(max_examples=400)
@given(worlds(), policies)
def test_it_keeps_and_thins_what_the_model_does(world: World, keep: Keep) -> None:
    found = retain(keep, world.as_lines(), NOW)
    kept = model_keeps(keep, world)
    assert set(found.reasons) == kept
    assert found.thin == model_thins(keep, world, kept)
    assert all(found.reasons.values()), "what stays has a reason"
    assert all(len(set(why)) == len(why) for why in found.reasons.values()), "and each once"


@given(worlds(), policies)
def test_no_budget_may_touch_what_a_run_needs(world: World, keep: Keep) -> None:
    safe = retain(keep, world.as_lines(), NOW).safe
    assert {c.id for c in (*world.branches.values(), *world.tags.values())} <= safe
    for line in world.lines().values():
        assert {c.id for c in line if c.healthy and c.id in newest(line, 1)} <= safe
        assert all(best(line, rule, count) <= safe for rule, count in keep.best.items())


@given(worlds(), policies, policies)
def test_a_policy_that_asks_for_more_keeps_more(world: World, one: Keep, other: Keep) -> None:
    if one.keeps_all or other.keeps_all:
        return
    both = Keep(
        last=max(filter(None, (one.last, other.last)), default=None),
        within=max((k.within for k in (one, other) if k.within is not None), default=None),
        best={rule: max(one.best.get(rule, 1), other.best.get(rule, 1)) for rule in {*one.best, *other.best}},
        milestones=one.milestones + other.milestones,
        tags=one.tags + other.tags,
    )
    if one.every is not None or other.every is not None or both.keeps_all:
        return
    kept = set(retain(both, world.as_lines(), NOW).reasons)
    assert kept == set(retain(one, world.as_lines(), NOW).reasons) | set(retain(other, world.as_lines(), NOW).reasons)


@given(worlds(), policies)
def test_with_a_branch_named_nothing_else_is_touched(world: World, keep: Keep) -> None:
    lines = world.as_lines()
    found = retain(keep, lines, NOW, ["b0"])
    others = {c.id for name, line in world.lines().items() if name != "b0" for c in line}
    assert others <= set(found.reasons)
    assert not others & found.thin
    assert others <= found.safe
    everywhere = retain(keep, lines, NOW)
    mine = {c.id for c in world.lines()["b0"]} - others
    assert mine & set(found.reasons) == mine & set(everywhere.reasons)
    assert mine & found.thin == mine & everywhere.thin
