"""One grammar for naming a commit, wherever a commit can be named.

    expression  ::=  [branch "@"] base { "~" [count] }
    base        ::=  branch | tag | commit id or a unique prefix of one | "latest"
                   | "step:" number | "min:" metric | "max:" metric

``step:``, ``min:`` and ``max:`` look along the current line of the named branch, or of ``main``; ``branch@`` before
any other base is an error. ``~n`` follows first parents.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit, History
from deltackpt.history.refs import Branch, Ref, parse_key
from deltackpt.ids import CommitId

DEFAULT_BRANCH = "main"
MIN_PREFIX_DIGITS = 4
_EXPRESSION = re.compile(r"(?:(?P<branch>[^@]+)@)?(?P<base>[^~@]+)(?P<back>(?:~\d*)*)")
_PARENTS_OF_GIT = re.compile(r"(HEAD|[^^]+(?=\^))(\^*)")
_SELECTORS = ("step:", "min:", "max:")


class RefNotFoundError(NotFoundError):
    """No commit goes by that expression."""


class AmbiguousRefError(InvalidInputError):
    """More than one commit goes by that expression."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed ref expression: a base, the branch whose line it is looked up on, and how many parents back."""

    base: str
    branch: str | None
    back: int

    @classmethod
    def parse(cls, text: object) -> Expression:
        match = _EXPRESSION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidInputError(f"{text!r} does not name a commit; see `deltackpt help refs` for what does")
        back = sum(int(step or 1) for step in match["back"].split("~")[1:])
        return cls(match["base"], match["branch"], back)

    @property
    def selects(self) -> bool:
        """Whether the base looks along a line rather than naming a commit."""
        return self.base.startswith(_SELECTORS)


def resolve(history: History, text: str, default_branch: str = DEFAULT_BRANCH) -> Commit:
    """The commit that ``text`` names. RefNotFoundError with near matches when there is none, AmbiguousRefError."""
    expression = Expression.parse(text)
    if expression.branch is not None and not expression.selects:
        raise InvalidInputError(f"{text!r}: what follows '@' must be step:N, min:METRIC or max:METRIC")
    if expression.selects:
        commit = _select(history, expression, default_branch)
    else:
        commit = history.commit(_named(history, expression.base))
    return _go_back(history, commit, expression.back, text)


def _go_back(history: History, commit: Commit, back: int, text: str) -> Commit:
    last, distance = commit, 0
    for distance, last in enumerate(history.line(commit.id)):
        if distance == back:
            return last
    raise RefNotFoundError(f"{text!r}: commit {last.description}, {distance} back, has no parent")


def _named(history: History, name: str) -> CommitId:
    refs = history.view.refs()
    if name == "latest":
        return _latest(history, refs)
    for key in (f"heads/{name}", f"tags/{name}"):
        if key in refs:
            return refs[key]
    found = _by_prefix(history, name)
    if len(found) > 1:
        listed = ", ".join(commit.short for commit in found[:5])
        raise AmbiguousRefError(f"{name!r} is the beginning of {len(found)} commit ids: {listed}; give more digits")
    if found:
        return found[0]
    history.view.require_whole()
    meant = _meant(name) if refs else None
    hint = f"; did you mean {meant!r}?" if meant else near_matches(name, refs)
    raise RefNotFoundError(f"no branch, tag or commit {name!r}{hint}")


def _meant(name: str) -> str | None:
    """How what git calls ``name``, or a step by its bare number, is called here."""
    if match := _PARENTS_OF_GIT.fullmatch(name):
        return f"{'latest' if match[1] == 'HEAD' else match[1]}{f'~{len(match[2])}' if match[2] else ''}"
    return f"step:{name}" if re.fullmatch(r"-?\d{1,19}", name) else None


def _latest(history: History, refs: dict[str, CommitId]) -> CommitId:
    heads = [commit for key, commit in refs.items() if isinstance(parse_key(key), Branch)]
    if not heads:
        raise RefNotFoundError("the store has no commits yet; make one with `deltackpt commit`")
    return max(heads, key=history.number)


def _by_prefix(history: History, digits: str) -> list[CommitId]:
    if len(digits) < MIN_PREFIX_DIGITS or not re.fullmatch(r"[0-9a-f]{1,64}", digits):
        return []
    whole = bytes.fromhex(digits[: len(digits) // 2 * 2])
    return [commit for commit in history.view.commits_with_prefix(whole) if commit.hex().startswith(digits)]


def near_matches(name: str, refs: dict[str, CommitId], kind: type[Ref] | None = None) -> str:
    """``; did you mean ...?`` with the names of that kind closest to ``name``, or the names that exist, or a hint."""
    if not refs:
        return "; the store has no commits yet, make one with `deltackpt commit`"
    found = map(parse_key, refs)
    names = [ref.name for ref in found if kind is None or isinstance(ref, kind)]
    if not names:
        return "; there are none"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; there are {', '.join(map(repr, sorted(names)[:6]))}{', ...' if len(names) > 6 else ''}"


def _select(history: History, expression: Expression, default_branch: str) -> Commit:
    branch = Branch(expression.branch or default_branch)
    head = history.view.ref(branch.key)
    if head is None:
        raise RefNotFoundError(f"no branch {branch.name!r}{near_matches(branch.name, history.view.refs(), Branch)}")
    kind, _, argument = expression.base.partition(":")
    line = history.line(head)
    if kind == "step":
        return _at_step(line, argument, branch)
    return _best(line, argument, branch, least=kind == "min")


def _at_step(line: Iterator[Commit], argument: str, branch: Branch) -> Commit:
    if not re.fullmatch(r"-?\d+", argument):
        raise InvalidInputError(f"'step:{argument}' needs a whole number, such as step:1000")
    step = int(argument)
    steps = []
    for commit in line:
        if commit.step == step:
            return commit
        if commit.step is not None:
            steps.append(commit.step)
    nearest = sorted(sorted(steps, key=lambda s: abs(s - step))[:3])
    near = f"; the nearest are {', '.join(f'step:{s}' for s in nearest)}" if nearest else ""
    raise RefNotFoundError(f"{branch} has no commit at step {step}{near}")


def _best(line: Iterator[Commit], metric: str, branch: Branch, *, least: bool) -> Commit:
    """The best commit; of several equally good ones the newest."""
    commits = list(line)
    measured = [c for c in commits if not math.isnan(c.metrics.get(metric, math.nan))]
    if not measured:
        names = sorted({name for commit in commits for name in commit.metrics})
        known = difflib.get_close_matches(metric, names, n=3, cutoff=0.5) or names[:6]
        hint = f"; its metrics are {', '.join(map(repr, known))}" if known else "; none of its commits has metrics"
        raise RefNotFoundError(f"no commit of {branch} has a metric {metric!r}{hint}")
    return (min if least else max)(measured, key=lambda commit: commit.metrics[metric])
