"""Which part and which name each tensor of a file gets.

Names begin with the part. Tensors of a part's only file, or of several that share no name (the shards of a model),
stand in the part itself: ``model/layer.0.weight``, whatever the files are called and however the model is cut.
Otherwise the file is part of the name, without its step: ``optimizer/global_step*/zero_pp_rank_0_optim_states.pt/...``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltackpt.content.arrangement import AT_THE_TOP, is_merged
from deltackpt.content.described import Described
from deltackpt.content.named_state import inner_parts
from deltackpt.content.roles import MODEL, ROOT, holds_all_parts, role_of, role_of_key, role_of_name, role_of_variable
from deltackpt.content.shared import Shared
from deltackpt.content.steps import stable
from deltackpt.formats.pickles.nodes import Dict, Parameter, Tensor
from deltackpt.skeleton.names import joined, segment

_OF_MANY_ROLES = {"distcp": role_of_name, "tensorflow": role_of_variable}
"""By formats whose tensors tell by their names what they are for."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the tensors of a file go: the ``part``, and the ``key`` of the file's state in that of the part.

    ``prefix`` begins the names of its tensors, ``literals`` those of its bytes. ``inner`` are parts of a file that is
    committed by itself; ``role`` tells by a name what a tensor is for. ``shared`` is how the state of a file is cut
    among parts.
    """

    part: str
    key: str
    prefix: str
    literals: str
    inner: tuple[str, ...] = ()
    role: Callable[[str], str] | None = None
    shared: Shared | None = None

    def place(self, name: str) -> tuple[str, str]:
        """The part, and the complete name, of what is called ``name`` in the file."""
        if self.shared is not None and (place := self.shared.place(name)) is not None:
            return place
        if self.inner:
            holding = [part for part in self.inner if name == part or name.startswith(f"{part}/")]
            return max(holding, key=len, default=ROOT), name
        if self.role is not None and (role := self.role(name)) != ROOT:
            return role, joined(role, name.removeprefix(f"{role}/"))
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
            # All of a TensorFlow checkpoint may be called a model: ``model.ckpt-500.data-00000-of-00001``.
            role = _OF_MANY_ROLES.get(file.reading.format) if part in (ROOT, MODEL) else None
            prefix = part if together else own
            shared = _shared(file, key, by_part) if part == ROOT else None
            found[file.path] = Home(part, AT_THE_TOP if together else key, prefix, own, role=role, shared=shared)
    return found


def _shared(file: Described, key: str, by_part: Mapping[str, Sequence[Described]]) -> Shared | None:
    """How a file with all parts of a rank is cut; None for others. That of the only rank fills its parts."""
    if not holds_all_parts(file.path):
        return None
    roles = {inner: role for inner in inner_parts(file) if (role := role_of_key(inner)) != ROOT}
    ranks = sum(holds_all_parts(other.path) for other in by_part[ROOT])
    is_all = ranks == 1 and not any(role in by_part for role in roles.values())
    return Shared(roles, AT_THE_TOP if is_all else key)


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
