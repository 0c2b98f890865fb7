"""Listing what a part holds, and exporting it, without torch and without building anything."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch
from skeleton_round_trip import Shelf, shelved

from deltackpt.skeleton.leaves import TensorLeaf, ValueLeaf, leaves
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.strided import gather


def listed(shelf: Shelf, part: str) -> list[TensorLeaf | ValueLeaf]:
    return list(leaves(read_skeleton(shelf.skeletons[part], part)))


def test_every_leaf_has_its_name() -> None:
    shelf = shelved(
        {"model": {"w": torch.ones(2), "cfg": [1, {"a": None}, (), {}], "set": {1}, "x": np.ones(1)}, "step": 3}
    )
    assert [leaf.name for leaf in listed(shelf, "model")] == [
        "model/w",
        "model/cfg/0",
        "model/cfg/1/a",
        "model/cfg/2",
        "model/cfg/3",
        "model/set",
        "model/x",
    ]
    assert listed(shelf, "") == [ValueLeaf("step", 3, ("step",))]


def test_plain_leaves_have_their_values() -> None:
    values = {"a": 1, "b": None, "c": 2.5, "d": "x", "e": b"y", "f": {1, 2}, "g": 1j, "h": 2**70}
    shelf = shelved({"part": values})
    assert {leaf.name.removeprefix("part/"): leaf.value for leaf in listed(shelf, "part")} == values  # type: ignore[union-attr]


def test_tied_names_are_leaves_on_one_entry() -> None:
    weight = torch.ones(2)
    first, second = listed(shelved({"m": {"emb": weight, "head": weight.detach()}}), "m")
    assert isinstance(first, TensorLeaf)
    assert isinstance(second, TensorLeaf)
    assert first.reference == second.reference
    assert (first.view, second.view) == (None, None)


def test_a_part_can_be_exported_by_name() -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {
        "model": {"all": base, "row": base[1], "turned": base.t(), "wide": base[0].expand(2, 4), "last": torch.ones(1)},
        "ema": {"window": base[1:, 1:3], "cl": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)},
    }
    shelf = shelved(state)
    for part, tensors in state.items():
        for leaf in listed(shelf, part):
            assert isinstance(leaf, TensorLeaf)
            dtype, shape = leaf.form(shelf.tables)
            plain = shelf.plain[leaf.reference.part, leaf.reference.index]
            own = plain if leaf.view is None else gather(memoryview(plain), leaf.view)
            original = tensors[leaf.name.removeprefix(f"{part}/")]
            assert (dtype.name, shape) == ("float32", tuple(original.shape))
            assert own == original.contiguous().numpy().tobytes()


def test_plain_states_are_captured_restored_and_listed_without_torch_or_numpy() -> None:
    program = """
import sys
from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.leaves import leaves
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.restore import Restoration
parts = capture({"a": {"b": [1, 2.5]}, "c": {1, "x"}}).parts
skeletons = {part.name: part.skeleton for part in parts}
assert Restoration(skeletons, {}).build() == {"a": {"b": [1, 2.5]}, "c": {1, "x"}}
assert [leaf.name for leaf in leaves(read_skeleton(skeletons["a"], "a"))] == ["a/b/0", "a/b/1"]
assert not {"torch", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_numpy_states_need_no_torch_and_torch_states_say_so() -> None:
    shelf = shelved({"a": np.arange(3), "t": torch.ones(1)})
    program = f"""
import sys
sys.modules["torch"] = None
from deltackpt.errors import InvalidInputError
from deltackpt.skeleton.leaves import leaves
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.table import TensorInfo
from deltackpt.tensor.dtype import DTYPES
skeletons = {shelf.skeletons!r}
tables = {{"": [TensorInfo("a", DTYPES["int64"], (3,)), TensorInfo("t", DTYPES["float32"], (1,))]}}
assert [leaf.name for leaf in leaves(read_skeleton(skeletons[""], ""))] == ["a", "t"]
chosen = Restoration(skeletons, tables, select="a")
chosen.destinations["", 0][:] = bytes(24)
assert chosen.build()["a"].tolist() == [0, 0, 0]
try:
    Restoration(skeletons, tables)
except InvalidInputError as error:
    assert "pip install 'deltackpt[torch]'" in str(error)
else:
    raise SystemExit("torch was not missed")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
