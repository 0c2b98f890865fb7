"""Tensors that the parent lacks find a base elsewhere, by their values: a fine-tune, names of another framework."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from disks import packs
from renaming import SCHEMES, encoder, moved, renamed, tuned, write_gguf
from safetensors.torch import save_file
from skeleton_round_trip import assert_same

from deltackpt import NotFoundError, Options, Store
from deltackpt.commit.bases import Borrowed, borrowed_bases
from deltackpt.commit.start import Start
from deltackpt.content.state import state_content

MODEL = encoder()
TUNED = tuned(MODEL)
MATRICES = [name for name, tensor in MODEL.items() if tensor.dim() == 2]


def stored_bytes(store: Store, ref: str) -> list[float]:
    """What each matrix of a commit occupies, in ascending order."""
    return sorted(row.stored_bytes for row in store.inventory(ref) if len(row.shape) == 2)


def recipes(store: Store, ref: str) -> dict[str, set[str]]:
    return {row.name.rsplit("/", 1)[-1]: set(row.recipes) for row in store.inventory(ref)}


def borrowed(store: Store, state: Any, parent: str | None = None, base: str | None = None) -> Borrowed:
    """What a commit of ``state`` would lean on."""
    repository = store._repository
    commit = None if parent is None else store.resolve(parent)
    held = [] if commit is None else [repository.manifests.part(part.id) for part in commit.parts]
    tensors = {tensor.name: tensor for part in held for tensor in part.tensors}
    start = Start(None, commit, None if base is None else store.resolve(base))
    return borrowed_bases(repository, state_content(state), tensors, start)


def pairs(found: Mapping[str, Any]) -> dict[str, str]:
    """Names of new tensors with those of their bases, both without the part."""
    return {name.removeprefix("model/"): stored.name.removeprefix("model/") for name, stored in found.items()}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("base", [None, "pretrained"])
def test_under_other_names_a_fine_tune_costs_what_it_does_under_its_own(
    store: Store, scheme: str, base: str | None
) -> None:
    store.commit({"model": MODEL}, tags="pretrained")
    if base is not None:
        store.commit({"other": torch.zeros(3)})
    own = store.commit({"model": TUNED}, branch="own", parent="pretrained")
    with Store.init(Path(store.path).with_name("other")) as other:
        other.commit({"model": MODEL}, tags="pretrained")
        if base is not None:
            other.commit({"other": torch.zeros(3)})
        state = {"model": renamed(TUNED, scheme)}
        made = other.commit(state, branch="tuned", base=base)
        assert stored_bytes(other, "tuned") == stored_bytes(store, "own")
        assert made.stored_bytes < 1.02 * own.stored_bytes
        assert_same(Store(other.path, options=Options(cache_bytes=0)).load("tuned"), state)
        assert other.verify(data=True).ok


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_matrix_finds_its_own_past(store: Store, scheme: str) -> None:
    store.commit({"model": MODEL})
    found = pairs(borrowed(store, {"model": renamed(TUNED, scheme)}).bases)
    assert {new: found[new] for new in (SCHEMES[scheme](name) for name in MATRICES)} == {
        SCHEMES[scheme](name): name for name in MATRICES
    }


def test_a_gguf_file_of_a_model_costs_what_its_own_file_does(store: Store, tmp_path: Path) -> None:
    save_file(MODEL, tmp_path / "model.safetensors")
    store.commit_path(tmp_path / "model.safetensors")
    own = store.commit_path(save_tuned(tmp_path), branch="own", parent="main")
    path = write_gguf(tmp_path / "tuned.gguf", {name: tensor * 1 for name, tensor in TUNED.items()})
    with Store.init(tmp_path / "again") as other:
        other.commit_path(tmp_path / "model.safetensors")
        made = other.commit_path(path, branch="gguf")
        assert stored_bytes(other, "gguf") == stored_bytes(store, "own")
        assert made.stored_bytes < 1.02 * own.stored_bytes
        other.checkout("gguf", tmp_path / "back.gguf")
    assert (tmp_path / "back.gguf").read_bytes() == path.read_bytes()


def save_tuned(folder: Path) -> Path:
    save_file(TUNED, folder / "tuned.safetensors")
    return folder / "tuned.safetensors"


@pytest.mark.parametrize("kind", ["BF16", "F16"])
@pytest.mark.parametrize("branch", ["main", "half"])
def test_a_rounded_gguf_file_is_known_from_the_float32_weights(
    store: Store, tmp_path: Path, kind: str, branch: str
) -> None:
    """Those of its parent, or of another branch."""
    store.commit({"model": MODEL})
    path = write_gguf(tmp_path / "half.gguf", MODEL, getattr(gguf.GGMLQuantizationType, kind))
    made = store.commit_path(path, branch=branch)
    assert {name: kept for name, kept in recipes(store, branch).items() if kept == {"cast"}} == {
        SCHEMES["GGUF"](name): {"cast"} for name in MATRICES
    }
    assert made.stored_bytes < 6000
    fresh = Store(store.path, options=Options(cache_bytes=0))
    fresh.checkout(branch, tmp_path / "back.gguf")
    assert (tmp_path / "back.gguf").read_bytes() == path.read_bytes()


def test_a_rounded_gguf_file_beside_the_float32_weights(store: Store, tmp_path: Path) -> None:
    """A folder with both, as they are published."""
    folder = tmp_path / "release"
    folder.mkdir()
    save_file(MODEL, folder / "model.safetensors")
    write_gguf(folder / "model-bf16.gguf", MODEL, gguf.GGMLQuantizationType.BF16)
    store.commit_path(folder)
    casts = [row.plain_bytes for row in store.inventory("main") if set(row.recipes) == {"cast"}]
    assert sorted(casts) == sorted(2 * MODEL[name].numel() for name in MATRICES)
    store.checkout("main", tmp_path / "back")
    assert (tmp_path / "back/model-bf16.gguf").read_bytes() == (folder / "model-bf16.gguf").read_bytes()


def test_layers_that_move_on_in_one_line(store: Store) -> None:
    """A layer is put before the others: every name but the last is taken, by what is no past of its values."""
    store.commit({"model": MODEL}, step=1)
    first = {name: tensor for name, tensor in tuned(encoder(6)).items() if "layer.0." in name}
    state = {"model": {**first, **moved(TUNED)}}
    found = pairs(borrowed(store, state, parent="main").bases)
    past = {SCHEMES["layers moved"](name): name for name in MATRICES if "layer." in name}
    assert {new: found[new] for new in past} == past
    store.commit(state, step=2)
    kept = recipes(store, "main")
    assert {name: kept[name] for name in past} == {name: {"delta"} for name in past}
    assert {tuple(kept[name]) for name in first if name in MATRICES} == {("planes",)}
    assert_same(Store(store.path).load("main"), state)


def test_layers_that_stay_keep_their_past_when_one_is_added(store: Store) -> None:
    store.commit({"model": MODEL}, step=1)
    last = {name: tensor for name, tensor in moved(encoder(6)).items() if "layer.3." in name}
    found = pairs(borrowed(store, {"model": {**TUNED, **last}}, parent="main").bases)
    assert {new: old for new, old in found.items() if new in MATRICES and new != old} == {}


def test_no_base_is_looked_for_where_the_parent_has_all(store: Store) -> None:
    store.commit({"model": MODEL})
    store.commit({"model": encoder(8)}, branch="other")
    assert borrowed(store, {"model": TUNED}, parent="main") == Borrowed()


def test_the_oldest_of_many_branches_lends(store: Store) -> None:
    store.commit({"model": MODEL}, branch="pretrained")
    for seed in range(40):
        store.commit({"model": encoder(100 + seed)}, branch=f"other-{seed}")
    found = borrowed(store, {"model": renamed(TUNED, "h_0.query.w")}).bases
    assert {found[f"model/{SCHEMES['h_0.query.w'](name)}"].chunks for name in MATRICES} == {
        tensor.chunks
        for part in store.resolve("pretrained").parts
        for tensor in store._repository.manifests.part(part.id).tensors
        if tensor.name.removeprefix("model/") in MATRICES
    }


def test_of_two_relatives_the_nearer_one_lends(store: Store) -> None:
    store.commit({"model": {name: tensor * 1.01 for name, tensor in MODEL.items()}}, branch="near")
    store.commit(
        {"model": {name: tensor + 0.002 * torch.randn_like(tensor) for name, tensor in MODEL.items()}}, branch="far"
    )
    near = {t.chunks for p in store.resolve("near").parts for t in store._repository.manifests.part(p.id).tensors}
    found = borrowed(store, {"model": {f"n.{name}": t * 1.01 + 1e-7 for name, t in MODEL.items()}}).bases
    assert {found[f"model/n.{name}"].chunks for name in MATRICES} <= near


def test_what_one_relative_lacks_another_lends(store: Store) -> None:
    """Two models become one: each of its halves has a past of its own."""
    picture = {name: tensor for name, tensor in encoder(9).items() if "layer" in name}
    store.commit({"model": MODEL}, branch="text")
    store.commit({"model": picture}, branch="picture")
    both = {**{f"text.{k}": t for k, t in TUNED.items()}, **{f"sight.{k}": t for k, t in tuned(picture).items()}}
    found = pairs(borrowed(store, {"model": both}).bases)
    wanted = {f"{of}.{name}": name for of in ("text", "sight") for name in MATRICES if f"{of}.{name}" in both}
    assert {new: found[new] for new in wanted} == wanted


def test_weights_are_found_beside_the_optimizer_of_the_lender(store: Store) -> None:
    """Its moments are of the same shapes, and twice as many."""
    names = list(MODEL)
    moments = {
        n: {"exp_avg": torch.randn_like(t), "exp_avg_sq": torch.rand_like(t)} for n, t in enumerate(MODEL.values())
    }
    store.commit({"optimizer": {"state": moments}, "model": MODEL})
    found = pairs(borrowed(store, {"model": renamed(TUNED, "names that say nothing")}).bases)
    assert all(found[SCHEMES["names that say nothing"](name)] == name for name in names if name in MATRICES)


def test_a_vocabulary_that_grew_and_was_renamed(store: Store) -> None:
    words = torch.randn(2500, 1024) * 0.02
    store.commit({"model": {"embed_tokens.weight": words}})
    grown = torch.cat([tuned({"w": words})["w"], torch.randn(8, 1024)])
    made = store.commit({"model": {"token_embd.weight": grown}}, branch="grown")
    (row,) = store.inventory("grown")
    assert dict(row.recipes) == {"delta": 2, "planes": 1}
    assert made.stored_bytes < 0.65 * grown.nbytes


def test_a_tensor_that_was_flattened(store: Store) -> None:
    store.commit({"model": MODEL})
    flat = {f"flat.{number}": TUNED[name].reshape(-1) for number, name in enumerate(MATRICES)}
    assert pairs(borrowed(store, {"model": flat}).bases) == {f"flat.{n}": name for n, name in enumerate(MATRICES)}
    store.commit({"model": flat}, branch="flat")
    assert recipes(store, "flat") == {name: {"delta"} for name in flat}
    assert_same(Store(store.path).load("flat"), {"model": flat})


def test_a_base_that_no_branch_stands_at_is_named(store: Store) -> None:
    store.commit({"model": MODEL}, tags="pretrained")
    store.commit({"other": torch.zeros(3)})
    alone = store.commit({"net": renamed(TUNED, "GGUF")}, branch="alone").stored_bytes
    made = store.commit({"model": tuned(tuned(MODEL))}, branch="tuned", base="pretrained")
    assert made.stored_bytes < 0.75 * alone
    assert made.parents == ()
    with pytest.raises(NotFoundError):
        store.commit({"model": TUNED}, base="nothing")


def test_tensors_that_are_not_alike_stay_as_they_are(store: Store) -> None:
    store.commit({"model": MODEL})
    state = {"net": encoder(77)}
    assert borrowed(store, state) == Borrowed()
    store.commit(state, branch="new")
    assert_same(store.load("new"), state)
    assert store.verify(data=True).problems == []


def test_constant_tensors_go_by_their_names(store: Store) -> None:
    """Ones and zeros are like nothing; those of a model that lends all the same are told apart by their names."""
    norms = {f"h.{n}.{kind}.weight": torch.full((200,), 1.0 + n) for n in range(3) for kind in ("norm", "scale")}
    store.commit({"model": {**MODEL, **norms}})
    later = {f"model.{name}": tensor * 1.25 for name, tensor in norms.items()}
    found = pairs(borrowed(store, {"model": {**later, **renamed(TUNED, "another prefix")}}).bases)
    assert {new: found[new] for new in later} == {f"model.{name}": name for name in norms}
    assert borrowed(store, {"model": later}) == Borrowed()


def test_equal_values_go_by_their_names(store: Store) -> None:
    """Tied by copying: every base is as good as the other."""
    weight = MODEL[MATRICES[0]]
    store.commit({"model": {"a.weight": weight.clone(), "b.weight": weight.clone(), "c.weight": weight.clone()}})
    new = {f"x.{name}.weight": weight + 1e-6 for name in "cab"}
    expected = {f"x.{name}.weight": f"{name}.weight" for name in "cab"}
    assert pairs(borrowed(store, {"model": new}).bases) == expected
    assert pairs(borrowed(store, {"model": {name: weight.clone() for name in new}}).bases) == expected


def test_the_same_store_gives_the_same_commit(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        with Store.init(tmp_path / name) as store:
            for seed in range(4):
                store.commit({"model": encoder(seed)}, branch=f"b{seed}")
            commit = store.commit({"model": renamed(tuned(encoder(2)), "GGUF")}, branch="new")
            made.append((commit.stored_bytes, {row.name: row.stored_bytes for row in store.inventory("new")}))
    assert made[0] == made[1]


def test_a_damaged_head_is_passed_over(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.commit({"model": MODEL}, branch="sound")
    sound = packs(store)
    damaged = store.commit({"model": encoder(6)}, branch="damaged")
    for path in set(packs(store)) - set(sound):
        path.unlink()
    state = {"model": renamed(TUNED, "GGUF")}
    with Store(store.path) as again, caplog.at_level(logging.WARNING, "deltackpt"):
        made = again.commit(state, branch="new")
        assert made.stored_bytes < 0.75 * damaged.stored_bytes
        assert_same(again.load("new"), state)
    assert f"commit {damaged.id.short} is damaged" in caplog.text


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.complex64, np.int64])
def test_values_of_other_types(store: Store, dtype: type) -> None:
    rng = np.random.default_rng(4)
    values = [(rng.standard_normal((200, 300)) * 30).astype(dtype) for _ in range(4)]
    store.commit({"model": {f"w{at}": array for at, array in enumerate(values)}})
    changed = {f"n{at}": array + (rng.random(array.shape) < 0.05).astype(dtype) for at, array in enumerate(values)}
    found = pairs(borrowed(store, {"model": changed}).bases)
    assert found == {f"n{at}": f"w{at}" for at in range(4)}
