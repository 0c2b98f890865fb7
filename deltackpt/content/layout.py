"""Which part and which name each tensor of a file gets.

Names begin with the part. Tensors of a part's only file, or of several that share no name (the shards of a model),
stand in the part itself: ``model/layer.0.weight``, whatever the files are called and however the model is cut.
Otherwise the file is part of the name, without its step: ``optimizer/global_step*/zero_pp_rank_0_optim_states.pt/...``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltackpt.content.arrangement import AT_THE_TOP, is_merged
from deltackpt.content.described import Described
from deltackpt.content.roles import ROOT, role_of, role_of_name
from deltackpt.content.steps import stable
from deltackpt.formats.pickles.nodes import Dict, Parameter, Tensor
from deltackpt.skeleton.names import joined, segment

_OF_MANY_ROLES = frozenset({"distcp"})


@dataclass(frozen=True, slots=True)
class Home:
    """Where the tensors of a file go: the ``part``, and the ``key`` of the file's state in that of the part.

    ``prefix`` begins the names of its tensors, ``literals`` those of its bytes. ``inner`` are parts of a file that is
    committed by itself; ``worded`` says that names tell what each tensor is for.
    """

    part: str
    key: str
    prefix: str
    literals: str
    inner: tuple[str, ...] = ()
    worded: bool = False

    def place(self, name: str) -> tuple[str, str]:
        """The part, and the complete name, of what is called ``name`` in the file."""
        if self.inner:
            holding = [part for part in self.inner if name == part or name.startswith(f"{part}/")]
            return max(holding, key=len, default=ROOT), name
        if self.worded and (role := role_of_name(name)) != ROOT:
            return role, joined(role, name)
        return self.part, joined(self.prefix, name)


def home_alone(inner: Iterable[str]) -> Home:
    """The home of a file that is committed by itself."""
    return Home(ROOT, AT_THE_TOP, "", "", tuple(inner))


def homes(files: Sequence[Described]) -> dict[str, Home]:
    """The home of each file of a folder, by its path."""
    keys = _keys([file.path for file in files])
    by_part: dict[str, list[Described]] = {}
    for file in files:
        by_part.setdefault(role_of(file.path), []).append(file)
    found: dict[str, Home] = {}
    for part, members in by_part.items():
        together = part != ROOT and _share_no_name(members)
        for file in members:
            key = keys[file.path]
            own = joined(part, key)
            worded = part == ROOT and file.reading.format in _OF_MANY_ROLES
            prefix = part if together else own
            found[file.path] = Home(part, AT_THE_TOP if together else key, prefix, own, worded=worded)
    return found


def _keys(paths: Iterable[str]) -> Mapping[str, str]:
    """Paths without step numbers, but for those that would become equal; as text that UTF-8 can hold."""
    without = {path: segment(stable(path)) for path in paths}
    count = Counter(without.values())
    return {path: key if count[key] == 1 else segment(path) for path, key in without.items()}


def _share_no_name(files: Sequence[Described]) -> bool:
    stateful = [file for file in files if file.tensors or file.reading.state is not None]
    if len(stateful) <= 1:
        return True
    return all(map(_is_flat, stateful)) and is_merged([[span.name for span in file.tensors] for file in stateful])


def _is_flat(file: Described) -> bool:
    """Whether a file's state is its tensors by name."""
    state = file.reading.state
    if state is None:
        return True
    return type(state.root) is Dict and all(type(value) in (Tensor, Parameter) for _, value in state.root.pairs)
