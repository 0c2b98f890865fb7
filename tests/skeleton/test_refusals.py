"""What cannot be stored is refused with the place, the kind, and what to do instead."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from deltackpt.errors import InvalidInputError, LimitError
from deltackpt.skeleton import registry
from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.refusal import DuplicateNameError, StateLimitError, UnstorableError


class Point(NamedTuple):
    x: int


@dataclasses.dataclass
class Settings:
    rate: float = 0.1


@dataclasses.dataclass
class Known:
    rate: float = 0.1
    later: int = dataclasses.field(init=False)

    @functools.cached_property
    def twice(self) -> float:
        return 2 * self.rate


class Mode(enum.Enum):
    FAST = 1


class MyDict(dict[str, int]):
    pass


class MyInt(int):
    pass


class MyTensor(torch.Tensor):
    pass


class Anything:
    pass


def attributed() -> Any:
    made = collections.OrderedDict(a=1)
    made.extra = 1  # type: ignore[attr-defined]
    return made


REFUSED: list[tuple[Any, str]] = [
    (len, "functions cannot be stored; leave it out of the state and set it again after loading"),
    (lambda: None, "functions cannot be stored; leave it out"),
    ([].append, "functions cannot be stored"),
    (dataclasses, "Python modules cannot be stored"),
    (Anything, "classes cannot be stored; store its name as a str"),
    ((i for i in ()), "generators cannot be stored"),
    (Anything(), f"objects of class {__name__}.Anything cannot be stored; store its plain values"),
    (torch.nn.Linear(1, 1), "objects of class torch.nn.modules.linear.Linear cannot be stored; pass its state_dict()"),
    (Point(1), f"class {__name__}.Point is not registered; call deltackpt.register(Point) first"),
    (Settings(), f"class {__name__}.Settings is not registered; call deltackpt.register(Settings) first"),
    (Mode.FAST, f"class {__name__}.Mode is not registered"),
    (MyDict(), f"{__name__}.MyDict is a subclass of dict that cannot be stored as such; pass dict(it)"),
    (MyInt(1), f"{__name__}.MyInt is a subclass of int that cannot be stored as such; pass int(it)"),
    (collections.defaultdict(lambda: 1), "a defaultdict whose factory is"),
    (attributed(), "the attribute 'extra' of a dict cannot be stored"),
    (slice("a", "b"), "a slice of str cannot be stored"),
    ({Anything(): 1}, "Anything cannot be stored as a key or a set element"),
    ({(1, Mode.FAST)}, f"class {__name__}.Mode is not registered; call deltackpt.register(Mode) first"),
    ({torch.ones(1)}, "Tensor cannot be stored as a key or a set element; use str, int, bytes or tuples of them"),
    ({np.frombuffer(b"abcd", [("a", "<i4")])[0]}, "void cannot be stored as a key or a set element"),
    ({np.float32("nan"), np.float32("nan")}, "two keys or elements that are stored alike, np.float32(nan); keep one"),
    (np.array([object()]), "arrays of type object cannot be stored"),
    (np.ones(2, np.longdouble), "arrays of type float128 cannot be stored"),
    (np.longdouble(1), "arrays of type float128 cannot be stored"),
    (np.ones(2, "V0"), "arrays of type |V0 cannot be stored"),
    (np.ma.masked_array([1], [True]), "arrays of the subclass numpy.ma.MaskedArray cannot be stored"),
    (np.array([None], dtype=[("o", object)]), "cannot be stored; store a list of plain values"),
]
ODD_TENSORS: list[tuple[Any, str]] = [
    (lambda: torch.ones(2).as_subclass(MyTensor), f"tensors of the subclass {__name__}.MyTensor cannot be stored"),
    (lambda: torch.ones(2, device="meta"), "a tensor on the meta device has no values"),
    (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested tensors cannot be stored"),
    (lambda: torch.ones(2, 2).to_mkldnn(), "tensors of layout torch._mkldnn cannot be stored; pass to_dense()"),
    (lambda: torch.nn.parameter.UninitializedParameter(), "tensors of the subclass"),
]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_refused_with_its_place(value: Any, reason: str) -> None:
    with pytest.raises(UnstorableError) as caught:
        capture({"optimizer": {"state": {3: {"hook": value}}}})
    assert str(caught.value).startswith("optimizer/state/3/hook: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.path == "optimizer/state/3/hook"
    assert isinstance(caught.value, InvalidInputError)


@pytest.mark.parametrize(("make", "reason"), ODD_TENSORS, ids=[reason[:40] for _, reason in ODD_TENSORS])
def test_tensors_of_odd_kinds(make: Any, reason: str) -> None:
    test_refused_with_its_place(make(), reason)


def test_freed_storage() -> None:
    tensor = torch.ones(3)
    tensor.untyped_storage().resize_(0)
    with pytest.raises(UnstorableError, match=r"^w: the tensor's storage has been freed"):
        capture({"w": tensor})


def test_the_state_itself() -> None:
    with pytest.raises(UnstorableError, match=r"^the state: functions cannot be stored"):
        capture(len)


def test_a_name_with_control_characters_is_shown_through_repr() -> None:
    with pytest.raises(UnstorableError) as caught:
        capture({"a": {"\x1b[31m": len}})
    assert str(caught.value).startswith(r"'a/\x1b[31m': functions")


@pytest.mark.parametrize("kind", [list, dict], ids=lambda kind: kind.__name__)
def test_cycles(kind: type) -> None:
    inner: Any = kind()
    if kind is list:
        inner.append([inner])
    else:
        inner[0] = [inner]
    with pytest.raises(UnstorableError, match=r"^model/a/0/0: contains itself; break the cycle"):
        capture({"model": {"a": inner}})


def test_a_state_that_contains_itself() -> None:
    state: dict[str, Any] = {"a": 1}
    state["self"] = state
    with pytest.raises(UnstorableError, match=r"^self: contains itself"):
        capture(state)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}], ids=["list", "tuple", "dict"])
def test_too_deep(wrap: Any) -> None:
    value: Any = None
    for _ in range(2000):
        value = wrap(value)
    with pytest.raises(StateLimitError, match="nested deeper than 128 levels") as caught:
        capture({"m": value})
    assert isinstance(caught.value, LimitError)
    assert str(caught.value).startswith("m/")


def test_keys_and_sets_that_are_too_deep() -> None:
    key: Any = 1
    for _ in range(1000):
        key = (key,)
    with pytest.raises(InvalidInputError):
        capture({"m": {key: 1}})
    with pytest.raises(InvalidInputError):
        capture({"m": {key}})


def test_two_tensors_with_one_name() -> None:
    with pytest.raises(DuplicateNameError) as caught:
        capture({"opt": {3: torch.ones(1), "3": torch.zeros(1)}})
    assert str(caught.value) == (
        "two tensors would be named opt/3: state['opt'][3] and state['opt']['3']; change one of the keys"
    )


def test_a_key_with_a_slash_that_clashes() -> None:
    with pytest.raises(DuplicateNameError, match=r"named a/b: state\['a/b'\] and state\['a'\]\['b'\]"):
        capture({"a": {"b": torch.ones(1)}, "a/b": torch.ones(1)})


def test_a_key_with_a_slash_alone_is_fine() -> None:
    assert capture({"m": {"a/b": torch.ones(1)}}).parts[1].tensors[0].name == "m/a/b"


def test_nothing_is_kept_of_a_refused_state() -> None:
    state = {"a": {"b": torch.ones(1)}, "c": len}
    with pytest.raises(UnstorableError):
        capture(state)
    del state["c"]
    assert [part.name for part in capture(state).parts] == ["", "a"]


def test_registered_instances_have_their_fields_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_by_class", {})
    monkeypatch.setattr(registry, "_by_name", {})
    registry.register(Known, "Known")
    value = Known()
    with pytest.raises(UnstorableError, match=r"^m/0: the field 'later' has no value; set it before committing"):
        capture({"m": [value]})
    value.later = 1
    assert value.twice == 0.2
    assert capture({"m": [value]}), "what is computed once from the fields is no loss"
    value.extra = 5  # type: ignore[attr-defined]
    with pytest.raises(UnstorableError) as caught:
        capture({"m": [value]})
    assert str(caught.value) == "m/0: the attribute 'extra' is no field of Known and would be lost; make it a field"
