"""What torch.compile, DDP and FSDP put before a module's names goes; what the module named itself stays."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training import Model

from deltackpt import Store
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


def test_a_child_called_module_stays() -> None:
    assert without_wrappers(["module.w", "head.w"]) == ["module.w", "head.w"]
    assert without_wrappers(["module.module.w", "module.head.w"]) == ["module.w", "head.w"]


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
    assert len(set(bare)) == len(names)
    assert all(bare)
