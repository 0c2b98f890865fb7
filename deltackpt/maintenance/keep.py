"""Which commits to keep: one policy value, for pruning by hand and for training loops alike.

Rules are united: a commit stays when any of them wants it. Heads of branches and tagged commits always stay. What stays
may be thinned to its weights, by age or to fit a budget of bytes.
"""

from __future__ import annotations

import datetime
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, SupportsIndex

from deltackpt.errors import InvalidInputError
from deltackpt.maintenance.quantity import duration_text, parse_duration, parse_size, size_text

_METRIC = re.compile(r"(min|max):(.+)", re.DOTALL)
_SECOND = datetime.timedelta(seconds=1)

Best = Mapping[str, int] | Sequence[str] | str


@dataclass(frozen=True, slots=True, init=False)
class Keep:
    """A retention policy. Nothing set keeps everything.

    ``last``: the newest so many *healthy* commits of each line, and any unhealthy ones among them, so that a run of NaN
    does not push out the last good state. ``every``: commits whose step is a multiple. ``within``: younger than
    this, a duration or a text such as "7d". ``best``: by metric, how many of the best ("min:val_loss" alone means
    one). ``milestones``: these steps. ``tags``: names or globs; commits so tagged stay whole, where others that are
    tagged may be thinned.

    ``optimizer``: parts other than weights only for the newest so many healthy commits of each line. ``max_size``: so
    many bytes of packs, parity and log, or a text such as "200GB"; what is beyond goes oldest first, optimizer parts
    before commits, but never a head, the newest healthy commit of a line, one of the ``best``, or one that is tagged.

    Raises InvalidInputError for what cannot be meant.
    """

    last: int | None
    every: int | None
    within: datetime.timedelta | None
    best: Mapping[str, int] = field(hash=False)
    milestones: tuple[int, ...]
    tags: tuple[str, ...]
    optimizer: int | None
    max_size: int | None

    def __init__(
        self,
        *,
        last: int | None = None,
        every: int | None = None,
        within: datetime.timedelta | str | None = None,
        best: Best = (),
        milestones: Iterable[int] | int = (),
        tags: Iterable[str] | str = (),
        optimizer: int | None = None,
        max_size: int | str | None = None,
    ) -> None:
        checked = {
            "last": _count("last", last),
            "every": _count("every", every),
            "within": _span(within),
            "best": _best(best),
            "milestones": _steps(milestones),
            "tags": _globs(tags),
            "optimizer": _count("optimizer", optimizer),
            "max_size": _size(max_size),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str]) -> Self:
        """A policy from TOML: a ``str`` is the text itself, a path names a file."""
        from deltackpt.maintenance.keep_toml import read

        return cls(**read(source))

    def to_toml(self) -> str:
        """The policy as TOML, which :meth:`from_toml` reads back as an equal one."""
        from deltackpt.maintenance.keep_toml import written

        return written(self)

    @property
    def keeps_all(self) -> bool:
        """Whether no rule limits which commits stay, but for the budget."""
        return all(limit is None for limit in (self.last, self.every, self.within)) and not (
            self.best or self.milestones or self.tags
        )

    def metrics(self) -> list[tuple[str, str, int]]:
        """``best`` as ``min`` or ``max``, the metric, and how many to keep."""
        return [(text[:3], text[4:], count) for text, count in self.best.items()]

    def explain(self) -> tuple[str, ...]:
        """The rules in words, one each."""
        rules = []
        if self.keeps_all:
            rules.append("every commit")
        if self.last is not None:
            rules.append(f"the newest {_some(self.last, 'healthy commit')} of each branch")
        if self.every is not None:
            rules.append(f"steps that are multiples of {self.every}")
        if self.within is not None:
            rules.append(f"commits younger than {duration_text(self.within)}")
        rules += [f"the {_some(count, 'best')} by {text}" for text, count in self.best.items()]
        if self.milestones:
            rules.append(f"{'step' if len(self.milestones) == 1 else 'steps'} {', '.join(map(str, self.milestones))}")
        if self.tags:
            rules.append(f"tags {', '.join(self.tags)}, whole")
        if self.optimizer is not None:
            rules.append(f"optimizer parts of the newest {_some(self.optimizer, 'healthy commit')} of each branch only")
        if self.max_size is not None:
            rules.append(f"at most {size_text(self.max_size)}, oldest thinned first")
        return tuple(rules)

    def __str__(self) -> str:
        return f"keep {'; '.join(self.explain())}"


def _some(count: int, what: str) -> str:
    """``healthy commit``, ``3 healthy commits``, ``best``, ``3 best``."""
    if count == 1:
        return what
    return f"{count} {what}{'' if what == 'best' else 's'}"


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    return operator.index(value)


def _count(name: str, value: object) -> int | None:
    number = _whole(value)
    if value is not None and (number is None or number < 1):
        raise InvalidInputError(f"keep {name} is a whole number from 1 on, not {value!r}")
    return number


def _span(value: object) -> datetime.timedelta | None:
    span = _parsed("within", value, parse_duration)
    if span is None:
        return None
    if not isinstance(span, datetime.timedelta) or span < datetime.timedelta() or span % _SECOND:
        raise InvalidInputError(f"keep within is a duration of whole seconds, such as 7d, not {value!r}")
    return span


def _size(value: object) -> int | None:
    return _count("max_size", _parsed("max_size", value, parse_size))


def _parsed(name: str, value: object, parse: Callable[[str], object]) -> object:
    try:
        return parse(value) if isinstance(value, str) else value
    except InvalidInputError as error:
        raise InvalidInputError(f"keep {name}: {error}") from None


def _best(value: object) -> dict[str, int]:
    if isinstance(value, Mapping):
        counted = list(value.items())
    elif isinstance(value, Iterable):
        counted = [(text, 1) for text in ([value] if isinstance(value, str) else value)]
    else:
        raise InvalidInputError(f"keep best is a metric, a list of metrics, or counts by metric, not {value!r}")
    found = {}
    for text, count in counted:
        if not _is_text(text) or not _METRIC.fullmatch(text):
            raise InvalidInputError(f"keep best is min:METRIC or max:METRIC, not {text!r}")
        number = _count(f"best of {text}", count)
        if number is None:
            raise InvalidInputError(f"keep best of {text} is a whole number from 1 on, not None")
        found[text] = number
    return found


def _steps(value: object) -> tuple[int, ...]:
    steps = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    numbers = [number for number in map(_whole, steps) if number is not None]
    if len(numbers) < len(steps):
        raise InvalidInputError(f"keep milestones are steps, whole numbers, not {value!r}")
    return tuple(sorted(set(numbers)))


def _globs(value: object) -> tuple[str, ...]:
    globs = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(_is_text(glob) and glob for glob in globs):
        raise InvalidInputError(f"keep tags are names of tags, or globs such as 'release-*', not {value!r}")
    return tuple(dict.fromkeys(map(str, globs)))


def _is_text(value: object) -> bool:
    """Whether ``value`` is a text that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
