"""The objects whose state makes up a training, each behind the same questions: what is it, does this fit, take it.

What is stored of an object must come back by itself, so an object without ``state_dict`` and ``load_state_dict`` is
refused when it is handed over, not when it would be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from deltackpt.errors import InvalidInputError
from deltackpt.training.misfit import Misfit
from deltackpt.training.modules import load_module, module_fit, module_state
from deltackpt.training.optimizers import Groups, OptimizerMismatchError, group_names, kind_of, load_optimizer, matched

Names = Callable[[], Mapping[int, str]]


class Member(Protocol):
    """One object of a training."""

    def state(self) -> Any:
        """Its state now; tensors are its own."""
        ...

    def facts(self) -> Any:
        """What must be known beside the state to put it back; the same at every save."""
        ...

    def prepared(self, stored: Any, facts: Any) -> Any:
        """The stored state as this object takes it; an error says why it cannot. Nothing changes."""
        ...

    def fit(self, stored: Any) -> Misfit:
        """Which names do not fit."""
        ...

    def load(self, prepared: Any) -> None:
        """Take it over."""
        ...


@dataclass(frozen=True, slots=True)
class ModuleMember:
    """A module, its parameters and buffers under bare names; with ``include`` only those that match."""

    module: nn.Module
    path: str
    include: Sequence[str] = ()

    def state(self) -> Any:
        return module_state(self.module, self.include)

    def facts(self) -> Any:
        return {"class": type(self.module).__name__}

    def prepared(self, stored: Any, facts: Any) -> Any:
        return stored

    def fit(self, stored: Any) -> Misfit:
        return module_fit(self.module, stored, self.include, f"{self.path}/")

    def load(self, prepared: Any) -> None:
        load_module(self.module, prepared)


@dataclass(frozen=True, slots=True)
class OptimizerMember:
    """An optimizer; ``names`` tells the names of parameters by identity."""

    optimizer: Optimizer
    path: str
    names: Names

    def state(self) -> Any:
        return self.optimizer.state_dict()

    def facts(self) -> Any:
        return {"class": kind_of(self.optimizer), "parameters": self._groups()}

    def prepared(self, stored: Any, facts: Any) -> Any:
        then = facts.get("class") if isinstance(facts, Mapping) else None
        if then is not None and then != kind_of(self.optimizer):
            raise self._refusal(f"{then} was stored, here it is {kind_of(self.optimizer)}")
        try:
            return matched(self.optimizer, stored, facts.get("parameters") if facts else None, self._groups())
        except OptimizerMismatchError as error:
            raise self._refusal(str(error)) from None

    def fit(self, stored: Any) -> Misfit:
        return Misfit()

    def load(self, prepared: Any) -> None:
        load_optimizer(self.optimizer, prepared)

    def _groups(self) -> Groups | None:
        return group_names(self.optimizer, self.names())

    def _refusal(self, why: str) -> OptimizerMismatchError:
        return OptimizerMismatchError(
            f"the stored {self.path} cannot be taken over: {why};"
            ' resume(..., optimizer="reset") loads the rest and begins the optimizer anew'
        )


@dataclass(frozen=True, slots=True)
class PlainMember:
    """Anything with ``state_dict`` and ``load_state_dict``."""

    thing: Any
    path: str

    def __post_init__(self) -> None:
        for method in ("state_dict", "load_state_dict"):
            if not callable(getattr(self.thing, method, None)):
                raise InvalidInputError(f"{self.path}: {_shown(self.thing)} has no {method}(){_advice(self.thing)}")

    def state(self) -> Any:
        return self.thing.state_dict()

    def facts(self) -> Any:
        return None

    def prepared(self, stored: Any, facts: Any) -> Any:
        return stored

    def fit(self, stored: Any) -> Misfit:
        return Misfit()

    def load(self, prepared: Any) -> None:
        self.thing.load_state_dict(prepared)


@dataclass(frozen=True, slots=True)
class SeveralMembers:
    """Several objects of one kind, such as the optimizers of a generator and a discriminator, by name."""

    members: Mapping[str, Member]
    path: str

    def state(self) -> Any:
        return {name: member.state() for name, member in self.members.items()}

    def facts(self) -> Any:
        return {name: member.facts() for name, member in self.members.items()}

    def prepared(self, stored: Any, facts: Any) -> Any:
        if not isinstance(stored, Mapping) or set(stored) != set(self.members):
            there = sorted(map(str, stored)) if isinstance(stored, Mapping) else "a single one"
            raise OptimizerMismatchError(f"{self.path}: stored are {there}, here are {sorted(self.members)}")
        return {name: one.prepared(stored[name], (facts or {}).get(name)) for name, one in self.members.items()}

    def fit(self, stored: Any) -> Misfit:
        fits = (member.fit(stored[name]) for name, member in self.members.items() if name in stored)
        return sum(fits, Misfit())

    def load(self, prepared: Any) -> None:
        for name, member in self.members.items():
            member.load(prepared[name])


def member(thing: Any, path: str, names: Names, include: Sequence[str] = ()) -> Member:
    """Whatever was handed over for ``path``: one object, or several in a dict or a list."""
    if isinstance(thing, Mapping | list | tuple):
        items = thing.items() if isinstance(thing, Mapping) else ((str(at), one) for at, one in enumerate(thing))
        return SeveralMembers({str(key): member(one, f"{path}/{key}", names, include) for key, one in items}, path)
    if isinstance(thing, nn.Module):
        return ModuleMember(thing, path, include)
    if isinstance(thing, Optimizer):
        return OptimizerMember(thing, path, names)
    return PlainMember(thing, path)


def _shown(thing: Any) -> str:
    return f"an object of class {type(thing).__module__}.{type(thing).__qualname__}"


def _advice(thing: Any) -> str:
    if type(thing).__name__ == "DataLoader":
        return "; use torchdata's StatefulDataLoader, which knows its position, or leave dataloader= out"
    return "; give it both methods, or leave it out"
