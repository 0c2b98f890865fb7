"""Mixed precision: the 16-bit copy of float32 weights costs next to nothing, wherever in the state it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from skeleton_round_trip import assert_same

from deltackpt import Options, Store
from deltackpt.chunkstore.transaction import StaleTransactionError, Transaction


def mixed(seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> dict[str, Any]:
    """A model in 16 bits with master weights under other names, in another order, and Adam's moments of equal shape."""
    torch.manual_seed(seed)
    masters = [torch.randn(700, 400) * 0.02, torch.randn(400, 700) * 0.02, torch.randn(700, 400) * 0.02]
    return {
        "model": {f"h.{i}.weight": master.to(dtype) for i, master in enumerate(masters)},
        "optimizer": {
            "state": {2 - i: {"exp_avg": torch.randn_like(m), "master": m} for i, m in enumerate(masters)},
        },
        "step": seed,
    }


def recipes(store: Store, part: str, ref: str = "main") -> set[str]:
    return {recipe for row in store.inventory(ref) if row.part == part for recipe in row.recipes}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_copy_is_known_from_the_master_weights(store: Store, dtype: torch.dtype) -> None:
    state = mixed(dtype=dtype)
    commit = store.commit(state, step=1)
    assert recipes(store, "model") == {"cast"}
    copies = sum(row.stored_bytes for row in store.inventory("main") if row.part == "model")
    assert copies < 1000
    assert commit.part_named("model").nbytes == 3 * 700 * 400 * 2
    assert_same(store.load("main"), state)


def test_every_way_of_reading_gives_the_copy(store: Store, tmp_path: Path) -> None:
    first, second = mixed(0), mixed(0)
    for group in second["optimizer"]["state"].values():
        group["master"] *= 1 + 1e-4
    second["model"] = {f"h.{i}.weight": second["optimizer"]["state"][2 - i]["master"].bfloat16() for i in range(3)}
    store.commit(first, step=1)
    store.commit(second, step=2)
    for ref, state in (("main~1", first), ("main", second)):
        fresh = Store(store.path, options=Options(cache_bytes=0))
        assert_same(fresh.load(ref), state)
        assert_same(fresh.load(ref, part="model"), state["model"])
        fresh.checkout(ref, tmp_path / f"{ref}.safetensors", part="model")
        assert_same(load_file(tmp_path / f"{ref}.safetensors"), state["model"])
        fresh.checkout(ref, tmp_path / f"{ref}-all.safetensors")
        everything = load_file(tmp_path / f"{ref}-all.safetensors")
        assert_same(everything["model/h.1.weight"], state["model"]["h.1.weight"])
        assert_same(everything["optimizer/state/1/master"], state["optimizer"]["state"][1]["master"])
        assert_same(fresh.reader(ref).tensor("model/h.2.weight")[10:20], state["model"]["h.2.weight"][10:20])
    assert store.verify(data=True).ok


def test_a_copy_larger_than_a_chunk_is_cut_where_the_wide_tensor_is(store: Store) -> None:
    wide = torch.randn(1300, 1000) * 0.02
    state = {"model": {"w": wide.bfloat16()}, "master": {"w": wide}}
    store.commit(state)
    (row,) = (row for row in store.inventory("main") if row.name == "model/w")
    assert (dict(row.recipes), row.stored_bytes < 1000) == ({"cast": 2}, True)
    assert_same(Store(store.path, options=Options(cache_bytes=0)).load("main"), state)


def test_weights_that_are_no_copy_are_kept_by_themselves(store: Store) -> None:
    state = mixed()
    state["model"] = {name: torch.randn(tensor.shape).bfloat16() for name, tensor in state["model"].items()}
    store.commit(state)
    assert "cast" not in recipes(store, "model")
    assert_same(store.load("main"), state)


def test_a_few_values_that_differ_are_kept_beside(store: Store) -> None:
    state = mixed()
    for tensor in state["model"].values():
        tensor[3, :5] = 7.0
        tensor[4, 0] = float("nan")
    store.commit(state)
    assert recipes(store, "model") == {"cast"}
    assert_same(store.load("main"), state)


def test_zeros_are_nobodys_copy(store: Store) -> None:
    state = {"model": {"w": torch.zeros(700, 400).bfloat16()}, "m": {"a": torch.zeros(700, 400)}}
    store.commit(state)
    assert recipes(store, "model") == {"planes"}


def test_a_step_later_without_the_master_weights(store: Store) -> None:
    """The parent's copy stands on values that are twice as wide, so it starts anew."""
    state = mixed()
    store.commit(state, step=1)
    model = {name: (tensor.float() * 1.01).bfloat16() for name, tensor in state["model"].items()}
    store.commit({"model": model}, step=2)
    assert "cast" not in recipes(store, "model")
    assert_same(store.load("main"), {"model": model})


def test_a_copy_keeps_the_wide_values_alive(store: Store) -> None:
    """Thinning drops the optimizer; the weights that stand on its master weights are still there after a gc."""
    from deltackpt import Keep

    first = mixed(1)
    store.commit(first, step=1)
    store.commit(mixed(2), step=2)
    store.prune(Keep(optimizer=1))
    store.gc()
    assert_same(store.load("step:1", part="model"), first["model"])
    assert store.verify(data=True).ok


def test_a_file_with_both(store: Store, tmp_path: Path) -> None:
    state = mixed()
    tensors = {**state["model"], **{f"master.{k}": v["master"] for k, v in state["optimizer"]["state"].items()}}
    save_file(tensors, tmp_path / "both.safetensors")
    store.commit_path(tmp_path / "both.safetensors")
    assert "cast" in recipes(store, "")
    store.checkout("main", tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "both.safetensors").read_bytes()


def test_another_writer_was_first_with_the_wide_values(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy in use is then theirs. Were it of a higher rank than our cast, nobody could read the cast."""
    old = {"optimizer": {"w": torch.randn(700, 400) * 0.02}}
    wide = {"optimizer": {"w": old["optimizer"]["w"] * (1 + 1e-4)}}
    store.commit(old, step=1, branch="theirs")
    # Against a commit that is no help, so that theirs is of a higher rank than ours.
    store.commit({"nothing": torch.zeros(3)}, branch="empty")
    state = {"model": {"w": wide["optimizer"]["w"].bfloat16()}, "optimizer": {"master": wide["optimizer"]["w"]}}
    publish, attempts = Transaction.publish, []

    def overtaken(self: Transaction, decide: Any) -> Any:
        if not attempts:
            attempts.append(None)
            Store(store.path).commit(wide, step=2, branch="theirs")
        try:
            return publish(self, decide)
        except StaleTransactionError:
            attempts.append("stale")
            raise

    monkeypatch.setattr(Transaction, "publish", overtaken)
    store.commit(state, step=1, branch="ours", base="empty")
    assert "stale" in attempts
    assert_same(Store(store.path, options=Options(cache_bytes=0)).load("ours"), state)
    assert store.verify(data=True).ok


def test_a_file_of_the_parent_s_weights_rounded(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = {f"h.{i}.weight": torch.randn(1300, 1000) * 0.02 for i in range(2)}
    save_file(weights, tmp_path / "model.safetensors")
    store.commit_path(tmp_path / "model.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in weights.items()}, tmp_path / "half.safetensors")
    made = store.commit_path(tmp_path / "half.safetensors")
    assert recipes(store, "") == {"cast"}
    assert made.stored_bytes < 5000
    fresh = Store(store.path, options=Options(cache_bytes=0))
    fresh.checkout("main", tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "half.safetensors").read_bytes()
    state = {"model": {name: tensor.half() for name, tensor in weights.items()}}
    under_another_prefix = store.commit(state, branch="live", parent="main~1")
    assert under_another_prefix.stored_bytes < 5000
    assert_same(fresh.load("live"), state)
    assert store.verify(data=True).ok
