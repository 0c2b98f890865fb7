"""What a name, a call, and a state given to an object come to. Whatever is not on the lists stays opaque."""

from __future__ import annotations

from collections.abc import Callable

from deltackpt.formats.pickles.misfit import Budget, MisfitError, fits
from deltackpt.formats.pickles.nodes import Dict, Dtype, Node, NumpyArray, NumpyDtype, Opaque, Symbol
from deltackpt.formats.pickles.numpy_builders import NUMPY_BUILDERS, build_array, build_dtype
from deltackpt.formats.pickles.python_builders import PYTHON_BUILDERS, Builder
from deltackpt.formats.pickles.torch_builders import TORCH_BUILDERS
from deltackpt.formats.pickles.torch_types import ELEMENTS

BUILDERS: dict[str, Builder] = {**PYTHON_BUILDERS, **TORCH_BUILDERS, **NUMPY_BUILDERS}

# Protocols 0 to 2 use the names of Python 2.
_MODULES_OF_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_RECONSTRUCTOR = "copyreg._reconstructor"


def named(module: str, name: str) -> Symbol | Dtype:
    """What GLOBAL pushes: PyTorch's element types are values, anything else is its name."""
    if module == "torch" and name in ELEMENTS:
        return Dtype(name)
    return Symbol(f"{_MODULES_OF_PYTHON_2.get(module, module)}.{name}")


def call(target: Node, args: Node, budget: Budget, complain: Callable[[MisfitError], None]) -> Node:
    """The value of ``target(*args)``; ``complain`` hears of a description that cannot be true."""
    arguments = args if type(args) is tuple else (args,)
    if type(target) is not Symbol:
        return Opaque("a call", (target, arguments))
    build = BUILDERS.get(target.name)
    if build is not None:
        try:
            return build(arguments, budget)
        except MisfitError as misfit:
            if misfit.what:
                complain(misfit)
    if target.name == _RECONSTRUCTOR and arguments and type(arguments[0]) is Symbol:
        return Opaque(arguments[0].name, arguments[2:3])
    return Opaque(target.name, arguments)


def build(target: Node, state: Node, budget: Budget, complain: Callable[[MisfitError], None]) -> Node:
    """``target`` after BUILD. An object on the list takes its state; any other is wrapped, so that nothing is lost."""
    if type(target) is Opaque:
        target.state = state if target.state is None else (target.state, state)
        return target
    try:
        match target:
            case Dict(kind="OrderedDict"):
                _add_attributes(target, state, budget)
            case NumpyArray():
                build_array(target, state)
            case NumpyDtype():
                build_dtype(target, state)
            case _:
                raise MisfitError
    except MisfitError as misfit:
        if misfit.what:
            complain(misfit)
        return Opaque(_kind(target), (target,), state)
    return target


def _add_attributes(target: Dict, state: Node, budget: Budget) -> None:
    fits(type(state) is Dict)
    if target.attributes is None:
        target.attributes = state
        return
    budget.spend(len(target.attributes.pairs) + len(state.pairs))
    target.attributes = Dict("dict", [*target.attributes.pairs, *state.pairs])


def _kind(node: Node) -> str:
    return node.name if type(node) is Symbol else f"a {type(node).__name__}"
