"""Names as the module itself knows them, without what wrappers put around them.

torch.compile, FSDP and activation checkpointing leave words of their own, which go wherever they stand.
DataParallel, DistributedDataParallel and AveragedModel keep the module as their only child, ``module``: that goes once,
when nothing stands beside it. A module of one's own whose only child is called so looks the same, also in the metadata
of its state dict, and is taken for a wrapper; whoever has one asks for the stored names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

_ANYWHERE = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_OUTERMOST = "module"
_AVERAGED = "n_averaged"

Pieces = list[str]


def without_wrappers(names: Sequence[str], modules: Collection[str] | None = None) -> list[str | None]:
    """``names`` as the innermost module knows them; None for what a wrapper keeps for itself (AveragedModel's count).

    ``modules`` are the paths of all modules, those without tensors too, where the state dict says so. The names stay as
    they are when that would make two of them equal or one empty.
    """
    split = [_cleaned(name) for name in names]
    paths = None if modules is None else [_cleaned(path) for path in modules if path]
    averaged = [_AVERAGED] in split
    kept = [None if pieces == [_AVERAGED] else pieces for pieces in split] if averaged else list(split)
    if averaged:
        if not _is_wrapped(kept, paths):
            return _joined(names, split)
        kept, paths = _inner(kept), _inner_paths(paths)
    if _is_wrapped(kept, paths):
        kept = _inner(kept)
    return _joined(names, kept)


def _cleaned(name: str) -> Pieces:
    return [piece for piece in name.split(".") if piece not in _ANYWHERE]


def _is_wrapped(names: Sequence[Pieces | None], paths: Sequence[Pieces] | None) -> bool:
    """Whether everything lies in a single child called ``module``."""
    inside = [pieces for pieces in names if pieces is not None]
    if not inside or any(len(pieces) < 2 or pieces[0] != _OUTERMOST for pieces in inside):
        return False
    return paths is None or all(not path or path[0] == _OUTERMOST for path in paths)


def _inner(names: Sequence[Pieces | None]) -> list[Pieces | None]:
    return [None if pieces is None else pieces[1:] for pieces in names]


def _inner_paths(paths: Sequence[Pieces] | None) -> list[Pieces] | None:
    return None if paths is None else [path[1:] for path in paths]


def _joined(names: Sequence[str], split: Sequence[Pieces | None]) -> list[str | None]:
    bare = [None if pieces is None else ".".join(pieces) for pieces in split]
    own = [name for name in bare if name is not None]
    return bare if all(own) and len(set(own)) == len(own) else list(names)
