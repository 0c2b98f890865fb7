"""Everything that a training consists of, as one state: taken together, and given back together.

Top-level entries are parts of the commit, so each can be loaded by itself. Beside the members stand the random
generators and data positions of every rank, the files, and ``facts``, which say what belongs to what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from deltackpt.errors import InvalidInputError
from deltackpt.training.files import Files
from deltackpt.training.frozen import Frozen
from deltackpt.training.members import Member, ModuleMember, PlainMember, SeveralMembers, member
from deltackpt.training.misfit import Misfit, listed
from deltackpt.training.modules import included, module_state, parameter_names, renamed
from deltackpt.training.rng import restore_rng, rng_state

MODEL, OPTIMIZER, LOADER = "model", "optimizer", "dataloader"
RESERVED = frozenset({"rng", "files", "frozen", "facts", "step", "epoch", LOADER})


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a commit is taken over. ``parts`` None takes all; ``rename`` maps beginnings of names in the model."""

    parts: frozenset[str] | None = None
    strict: bool = True
    rename: Mapping[str, str] = field(default_factory=dict)
    reset_optimizer: bool = False

    def takes(self, part: str) -> bool:
        if self.reset_optimizer and part.startswith(OPTIMIZER):
            return False
        return self.parts is None or part in self.parts


@dataclass(frozen=True, slots=True)
class Roster:
    """The members by the part that holds them, the data loader of this rank, and the run's files."""

    members: Mapping[str, Member]
    loader: PlainMember | None
    files: Files | None
    frozen: Frozen | None

    @classmethod
    def of(
        cls,
        things: Mapping[str, Any],
        *,
        dataloader: Any = None,
        files: Sequence[str] = (),
        include: Sequence[str] = (),
        frozen: Frozen | None = None,
    ) -> Roster:
        """From what the caller handed over, by part; InvalidInputError names what could not be stored or restored."""
        if clash := sorted(RESERVED.intersection(things)):
            raise InvalidInputError(f"extra= holds {clash[0]!r}, a name that is taken; choose another")
        model = things.get(MODEL)
        members = {
            part: member(thing, part, lambda: _names(model), include if part == MODEL else ())
            for part, thing in things.items()
            if thing is not None
        }
        if include:
            _check_included(members.get(MODEL), include)
        loader = None if dataloader is None else PlainMember(dataloader, LOADER)
        return cls(members, loader, Files(files) if files else None, frozen)

    def check(self, choice: Choice) -> None:
        """InvalidInputError names a part that was asked for and that nothing here could take over."""
        if unknown := sorted((choice.parts or frozenset()).difference(self.members)):
            raise InvalidInputError(f"load= names {unknown[0]!r}, and handed over were {listed(list(self.members))}")

    def of_rank(self) -> dict[str, Any]:
        """What only this rank knows: its generators and its place in the data."""
        return {"rng": rng_state(), LOADER: None if self.loader is None else self.loader.state()}

    def state(self, ranks: Sequence[Mapping[str, Any]], step: int, epoch: int) -> dict[str, Any]:
        """The whole training; tensors are the live ones. ``ranks`` are what :meth:`of_rank` gave on each."""
        state: dict[str, Any] = {part: one.state() for part, one in self.members.items()}
        if self.frozen is not None:
            without = self.frozen.names
            state[MODEL] = type(state[MODEL])((n, v) for n, v in state[MODEL].items() if n not in without)
            state["frozen"] = self.frozen.reference()
        state["rng"] = {str(rank): held["rng"] for rank, held in enumerate(ranks)}
        if self.loader is not None:
            state[LOADER] = {str(rank): held[LOADER] for rank, held in enumerate(ranks)}
        if self.files is not None:
            state["files"] = self.files.state()
        state["facts"] = {part: facts for part, one in self.members.items() if (facts := one.facts()) is not None}
        return {**state, "step": step, "epoch": epoch}

    def prepared(self, stored: Mapping[str, Any], choice: Choice) -> tuple[dict[str, Any], Misfit]:
        """What each member takes over, and the names that do not fit; nothing has changed yet."""
        facts = stored.get("facts", {})
        ready: dict[str, Any] = {}
        misfit = Misfit()
        for part, one in self.members.items():
            if not choice.takes(part):
                continue
            if part not in stored:
                misfit += Misfit(missing=(part,))
                continue
            value = renamed(stored[part], choice.rename) if part == MODEL and choice.rename else stored[part]
            ready[part] = one.prepared(value, facts.get(part))
            misfit += self._without_frozen(one.fit(ready[part]), part)
        if self.frozen is not None and "frozen" in stored and choice.takes(MODEL):
            self.frozen.check(stored["frozen"])
        return ready, misfit

    def load(self, ready: Mapping[str, Any]) -> None:
        """Give each member what was prepared for it."""
        for part, value in ready.items():
            self.members[part].load(value)

    def load_rank(self, stored: Mapping[str, Any], rank: int, size: int) -> list[str]:
        """Set this rank's generators and data position; returns what cannot be as it was."""
        saved, inexact = stored.get("rng", {}), []
        if len(saved) != size and saved:
            inexact.append(f"saved by {len(saved)} ranks, resumed by {size}: the split of the data among ranks")
        if str(rank) in saved:
            inexact += restore_rng(saved[str(rank)])
        elif saved:
            inexact.append(f"random numbers of rank {rank}, which was not there")
        positions = stored.get(LOADER, {})
        if self.loader is not None:
            if len(positions) == size:
                self.loader.load(positions[str(rank)])
            else:
                inexact.append(f"the position in the data, stored for {len(positions)} ranks; the epoch begins anew")
        return inexact

    def _without_frozen(self, found: Misfit, part: str) -> Misfit:
        """Frozen weights are missing in the commit on purpose."""
        if self.frozen is None or part != MODEL:
            return found
        frozen = {f"{MODEL}/{name}" for name in self.frozen.names}
        return Misfit(tuple(name for name in found.missing if name not in frozen), found.unexpected, found.different)


def _check_included(model: Member | None, patterns: Sequence[str]) -> None:
    """InvalidInputError names a pattern by which nothing of the model would be stored."""
    match model:
        case ModuleMember(module):
            names = list(module_state(module))
        case SeveralMembers(members):
            names = [
                name for one in members.values() if isinstance(one, ModuleMember) for name in module_state(one.module)
            ]
        case _:
            names = []
    for pattern in patterns:
        if not any(included(name, [pattern]) for name in names):
            raise InvalidInputError(
                f"include={pattern!r} matches no tensor of the model; patterns are for whole names, such as"
                f" {listed(names[:2]) or 'those of a module'}: '*lora_*' is anywhere within"
            )


def _names(model: Any) -> dict[int, str]:
    """Bare names of all parameters, by identity; of several models with the model's own name before."""
    if isinstance(model, nn.Module):
        return parameter_names(model)
    if not isinstance(model, Mapping | list | tuple):
        return {}
    items = model.items() if isinstance(model, Mapping) else enumerate(model)
    return {
        key: f"{name}/{found}"
        for name, one in items
        if isinstance(one, nn.Module)
        for key, found in parameter_names(one).items()
    }
