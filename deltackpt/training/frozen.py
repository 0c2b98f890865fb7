"""Frozen weights that are not stored but referred to: where they came from, and the hash of each.

They are hashed once, and again only when something wrote to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from deltackpt.errors import InvalidInputError
from deltackpt.ids import ChunkId
from deltackpt.skeleton.torch_tensors import plain_bytes
from deltackpt.training.misfit import listed
from deltackpt.training.modules import BareNames


class FrozenMismatchError(InvalidInputError):
    """The frozen weights here are not those of the commit."""


class Frozen:
    """The parameters of a module that take no gradient."""

    def __init__(self, module: nn.Module, origin: str) -> None:
        self._module = module
        self._origin = origin
        self._hashes: dict[str, tuple[tuple[int, int], str]] = {}

    @property
    def names(self) -> frozenset[str]:
        """Their bare names; tied ones under each."""
        bare = BareNames(self._module)
        named = self._module.named_parameters(remove_duplicate=False)
        return frozenset(bare.of(name) for name, parameter in named if not parameter.requires_grad)

    def reference(self) -> dict[str, Any]:
        """What is stored in their place."""
        bare = BareNames(self._module)
        named = self._module.named_parameters(remove_duplicate=False)
        frozen = {bare.of(name): parameter for name, parameter in named if not parameter.requires_grad}
        return {"origin": self._origin, "hashes": {name: self._hash(name, value) for name, value in frozen.items()}}

    def check(self, stored: Mapping[str, Any]) -> None:
        """FrozenMismatchError names the weights that are not those that the commit was trained on."""
        here = self.reference()["hashes"]
        wrong = [name for name, value in stored["hashes"].items() if here.get(name) != value]
        if wrong:
            origin = f" (from {stored['origin']!r})" if stored["origin"] else ""
            raise FrozenMismatchError(
                f"frozen weights are not those that were trained on{origin}: {listed(wrong)}; load that base first"
            )

    def _hash(self, name: str, parameter: nn.Parameter) -> str:
        if parameter.is_meta:
            raise InvalidInputError(f"frozen weight {name!r} is on the meta device; load the base before")
        version = parameter.data_ptr(), parameter._version
        known = self._hashes.get(name)
        if known is None or known[0] != version:
            value = ChunkId.of(plain_bytes(parameter)).hex()
            known = self._hashes[name] = (version, value)
        return known[1]
