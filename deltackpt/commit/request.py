"""What the caller wants to say about a commit, checked before any byte is written."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, Literal, SupportsFloat, get_args

from deltackpt.commit.free_form import plain_data
from deltackpt.errors import InvalidInputError, brief
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch, Tag
from deltackpt.history.resolve import DEFAULT_BRANCH
from deltackpt.ids import CommitId

OnConflict = Literal["fail", "rebase"]
MAX_MESSAGE_BYTES = 64 << 10
_STEP_RANGE = range(-(1 << 63), 1 << 63)
# What a ref expression, or STORE#REF, gives a meaning of its own.
_NOT_IN_METRICS = "~@#\n\r\0"


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """Where the caller left the branch: at ``head``, or None when there was no such branch."""

    head: CommitId | None


@dataclasses.dataclass(frozen=True, slots=True)
class CommitRequest:
    """A commit to be made. ``parent`` is a ref expression or a commit; None follows the branch's head.
    ``base`` is the commit whose tensors help to store those that the parent lacks; None for the heads of all branches.

    ``config`` and ``meta`` are plain data; None for nothing. ``expected`` refuses a branch that stands anywhere else,
    so that two who write one are never interleaved. ``environment`` is that of the program whose state it is, None for
    this one's.

    InvalidInputError names the field that cannot be right.
    """

    step: int | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    message: str = ""
    branch: str = DEFAULT_BRANCH
    tags: tuple[str, ...] = ()
    parent: str | Commit | None = None
    base: str | Commit | None = None
    config: Any = None
    meta: Any = None
    on_conflict: OnConflict = "fail"
    expected: Expected | None = None
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        Branch(self.branch)
        for tag in self.tags:
            Tag(tag)
        if self.on_conflict not in get_args(OnConflict):
            raise InvalidInputError(f"on_conflict is 'fail' or 'rebase', not {self.on_conflict!r}")
        if not _is_text(self.message):
            raise InvalidInputError(f"message is a text of valid Unicode, not {brief(self.message)}")
        if len(self.message.encode()) > MAX_MESSAGE_BYTES:
            raise InvalidInputError(f"the message is longer than {MAX_MESSAGE_BYTES} bytes; keep long texts in meta")

    @classmethod
    def checked(
        cls,
        *,
        step: Any = None,
        metrics: Mapping[str, Any] | None = None,
        tags: Any = None,
        config: Any = None,
        meta: Any = None,
        **rest: Any,
    ) -> CommitRequest:
        """A request from what callers pass: numbers of any library, one tag or several, None for nothing."""
        return cls(
            step=_whole(step),
            metrics=numbers_by_name(metrics),
            tags=_several(tags),
            config=free_form(config, "config"),
            meta=free_form(meta, "meta"),
            **rest,
        )


def _is_text(value: object) -> bool:
    """Whether ``value`` is a text that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _several(tags: Any) -> tuple[str, ...]:
    if tags is None or isinstance(tags, str):
        return (tags,) if tags else ()
    if not isinstance(tags, Iterable):
        raise InvalidInputError(f"tags is the name of one tag, or a list of names, not {brief(tags)}")
    return tuple(dict.fromkeys(tags))


def _whole(step: Any) -> int | None:
    if step is None:
        return None
    try:
        value = int(step)
        same = bool(value == step)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        same = False
    if not same or isinstance(step, str) or _is_truth(step) or value not in _STEP_RANGE:
        raise InvalidInputError(f"step is a whole number of 64 bits, not {brief(step)}")
    return value


def numbers_by_name(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Metrics as they are stored, from numbers of any library; InvalidInputError names the one that is none."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise InvalidInputError(f"metrics is a dict of numbers by name, not {brief(metrics)}")
    return {_metric_name(name): _number(name, value) for name, value in metrics.items()}


def _metric_name(name: Any) -> str:
    if not _is_text(name) or not name or any(c in name for c in _NOT_IN_METRICS):
        raise InvalidInputError(f"a metric's name is a text without '~', '@', '#' and line breaks, not {brief(name)}")
    return str(name)


def _number(name: str, value: Any) -> float:
    plain = isinstance(value, numbers.Real) or (isinstance(value, SupportsFloat) and not isinstance(value, str | bytes))
    try:
        number = float(value) if plain else None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = None
    if number is None or _is_truth(value):
        raise InvalidInputError(f"metric {name!r} is not a number: {brief(value)}; pass a float")
    return math.nan if math.isnan(number) else number


def _is_truth(value: Any) -> bool:
    """Whether ``value`` is true or false, in Python's word for it or another library's."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def free_form(value: Any, name: str) -> Any:
    """What is kept beside a commit, as plain data; InvalidInputError says where in ``name`` it is none."""
    try:
        return None if value is None else plain_data(value, name)
    except RecursionError:
        raise InvalidInputError(f"{name} is nested too deep, or contains itself; pass plain data") from None
