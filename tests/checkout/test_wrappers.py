"""What torch.compile, DDP and FSDP put before a module's names goes; what the module named itself stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from training import Model

from deltackpt import InvalidInputError, Store
from deltackpt.checkout.wrappers import without_wrappers


def test_a_compiled_model(store: Store, tmp_path: Path) -> None:
    compiled = torch.compile(Model(), backend="eager")
    store.commit({"model": compiled.state_dict()}, step=1)
    store.checkout("main", tmp_path / "out.safetensors", part="model")
    Model().load_state_dict(load_file(tmp_path / "out.safetensors"), strict=True)


def test_a_compiled_model_in_data_parallel(store: Store, tmp_path: Path) -> None:
    model = torch.nn.DataParallel(torch.compile(Model(), backend="eager"))
    assert all(name.startswith("module._orig_mod.") for name in model.state_dict())
    store.commit({"model": model.state_dict()}, step=1)
    store.checkout("main", tmp_path / "out.safetensors", part="model")
    Model().load_state_dict(load_file(tmp_path / "out.safetensors"), strict=True)


def test_wrappers_within() -> None:
    names = ["layers.0._checkpoint_wrapped_module.w", "_fsdp_wrapped_module.head._orig_mod.w"]
    assert without_wrappers(names) == ["layers.0.w", "head.w"]


class Wrapper(nn.Module):
    """What DistributedDataParallel makes of a module's names, without a process group."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.module = inner


class Sole(nn.Module):
    """A child called ``module`` and, beside it, one without tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(3, 2)
        self.act = nn.ReLU()


@pytest.mark.parametrize(
    ("wrapped", "inner"),
    [
        (lambda: Wrapper(Model()), Model),
        (lambda: Wrapper(torch.compile(Model(), backend="eager")), Model),
        (lambda: torch.compile(Wrapper(Model()), backend="eager"), Model),
        (lambda: AveragedModel(Model()), Model),
        (lambda: AveragedModel(Wrapper(Model())), Model),
        (Sole, Sole),
        (lambda: Wrapper(Sole()), Sole),
        (lambda: AveragedModel(Sole()), Sole),
        (lambda: Wrapper(nn.Linear(2, 3)), lambda: nn.Linear(2, 3)),
    ],
)
@pytest.mark.parametrize("bare", [True, False])
def test_the_inner_module_takes_the_file_strictly(
    store: Store, tmp_path: Path, wrapped: Any, inner: Any, bare: bool
) -> None:
    state = wrapped().state_dict()
    store.commit(state if bare else {"model": state, "step": 1})
    store.checkout("main", tmp_path / "out.safetensors", part=None if bare else "model")
    fresh = inner()
    fresh.load_state_dict(load_file(tmp_path / "out.safetensors"), strict=True)
    values = [tensor for name, tensor in state.items() if name != "n_averaged"]
    assert all(map(torch.equal, fresh.state_dict().values(), values))


def test_the_stored_names_for_those_who_know_better(store: Store, tmp_path: Path) -> None:
    own = Wrapper(nn.Linear(2, 3))
    store.commit({"model": own.state_dict()})
    store.checkout("main", tmp_path / "out.safetensors", part="model", names="stored")
    own.load_state_dict(load_file(tmp_path / "out.safetensors"), strict=True)
    with pytest.raises(InvalidInputError, match="names is 'module' or 'stored', not 'own'"):
        store.checkout("main", tmp_path / "other", names="own")  # type: ignore[arg-type]


def test_a_plain_dict_is_no_state_dict(store: Store, tmp_path: Path) -> None:
    store.commit({"module.w": torch.ones(2)})
    store.checkout("main", tmp_path / "out.safetensors")
    assert list(load_file(tmp_path / "out.safetensors")) == ["module.w"]


def test_a_child_called_module_stays() -> None:
    assert without_wrappers(["module.w", "head.w"]) == ["module.w", "head.w"]
    assert without_wrappers(["module.module.w", "module.head.w"]) == ["module.w", "head.w"]
    assert without_wrappers(["module.module.w", "module.module.b"]) == ["module.w", "module.b"]
    assert without_wrappers(["module.w"], ["", "module", "act"]) == ["module.w"]
    assert without_wrappers(["module.w"], ["", "module"]) == ["w"]


def test_what_stands_beside_an_averaged_model_keeps_everything() -> None:
    names = ["n_averaged", "module.w", "extra"]
    assert without_wrappers(names) == names
    assert without_wrappers(["n_averaged"]) == ["n_averaged"]


def test_names_that_would_meet_stay_as_they_are() -> None:
    assert without_wrappers(["w", "_orig_mod.w"]) == ["w", "_orig_mod.w"]


def test_a_name_that_is_a_wrapper_alone_is_kept() -> None:
    assert without_wrappers(["module"]) == ["module"]
    assert without_wrappers(["_orig_mod"]) == ["_orig_mod"]
    assert without_wrappers([]) == []


_PIECES = st.sampled_from(["module", "_orig_mod", "a", "b", "0"])


@given(st.lists(st.lists(_PIECES, min_size=1, max_size=4).map(".".join), unique=True, max_size=6))
def test_no_name_is_lost(names: list[str]) -> None:
    bare = without_wrappers(names)
    assert None not in bare
    assert len(set(bare)) == len(names)
    assert all(bare)
