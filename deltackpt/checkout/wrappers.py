"""Names as the module itself knows them, without what wrappers put around them."""

from __future__ import annotations

from collections.abc import Sequence

# torch.compile and FSDP put these between any two levels; DistributedDataParallel only around the whole.
_ANYWHERE = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_OUTERMOST = "module"


def without_wrappers(names: Sequence[str]) -> list[str]:
    """``names`` without wrapper prefixes; as they are when that would make two of them equal or one empty.

    ``module`` goes only where every name begins with it: a module may well have a child of that name.
    """
    split = [[piece for piece in name.split(".") if piece not in _ANYWHERE] for name in names]
    while split and all(len(pieces) > 1 and pieces[0] == _OUTERMOST for pieces in split):
        split = [pieces[1:] for pieces in split]
    bare = [".".join(pieces) for pieces in split]
    return bare if all(bare) and len(set(bare)) == len(set(names)) else list(names)
