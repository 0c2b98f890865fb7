"""How alike two tensors are is told by a few of their values, and no more of the store is read than was granted."""

from __future__ import annotations

import numpy as np
import pytest
from renaming import encoder

from deltackpt import Store
from deltackpt.commit.forms import form_of_stored
from deltackpt.commit.lenders import Lender
from deltackpt.commit.likeness import ALIKE, compare, rounded_sketch, sketch_of
from deltackpt.commit.sketches import Sketches
from deltackpt.history.manifest import StoredTensor
from deltackpt.tensor.dtype import Element

RNG = np.random.default_rng(3)


def weights(count: int, shape: tuple[int, ...] = (300, 400)) -> list[np.ndarray]:
    return [(0.02 * RNG.standard_normal(shape)).astype(np.float32) for _ in range(count)]


def sketch(array: np.ndarray) -> np.ndarray:
    plain = memoryview(array.tobytes())
    element = {4: Element.FLOAT32, 8: Element.FLOAT64, 1: Element.INT8}[array.itemsize]
    return sketch_of(lambda start, stop: plain[start:stop], element, len(plain))


def best(new: list[np.ndarray], old: list[np.ndarray]) -> list[tuple[float, int]]:
    return [max(row) for row in compare([sketch(a) for a in new], [sketch(a) for a in old])]


def test_a_sketch_is_of_the_same_places_in_every_chunk_of_one_length() -> None:
    values = np.arange(1000, dtype=np.float32)
    starts = [968 * run // 7 for run in range(8)]
    expected = np.concatenate([values[start : start + 32] for start in starts])
    np.testing.assert_array_equal(sketch(values).view(np.float32), expected)
    np.testing.assert_array_equal(sketch(values[:256]).view(np.float32), values[:256])


@pytest.mark.parametrize("change", [1e-6, 1e-4, 1e-3])
def test_each_of_many_finds_its_own_past(change: float) -> None:
    old = weights(300, (50, 60))
    new = [array + np.float32(change) * RNG.standard_normal(array.shape).astype(np.float32) for array in old]
    found = best(new[::-1], old)
    assert [at for _, at in found] == list(range(300))[::-1]
    assert min(likeness for likeness, _ in found) > ALIKE


def test_weights_without_a_common_past_are_not_alike() -> None:
    """Whether they are drawn alike, all positive, or in columns of ten times another scale."""
    for form in (np.array, np.abs, np.square, lambda a: a * np.logspace(-1, 0, a.shape[-1], dtype=np.float32)):
        found = best([form(a) for a in weights(40)], [form(a) for a in weights(40)])
        assert max(likeness for likeness, _ in found) < ALIKE


def test_constants_are_like_nothing() -> None:
    ones, zeros = np.ones((30, 40), np.float32), np.zeros((30, 40), np.float32)
    [(same, _), (other, _)] = best([ones, zeros], [ones, *weights(3, (30, 40))])
    assert (same, other <= 0) == (0, True)


def test_a_rounded_copy_is_as_like_as_can_be() -> None:
    wide = weights(5)
    copies = [(a.view(np.uint32) + 0x7FFF + (a.view(np.uint32) >> 16 & 1)) >> 16 for a in wide]
    narrow = [memoryview(copy.astype(np.uint16).tobytes()) for copy in copies]
    new = [sketch_of(lambda start, stop, n=n: n[start:stop], Element.BFLOAT16, len(n)) for n in narrow]
    rows = compare(new, [rounded_sketch(sketch(a), Element.BFLOAT16) for a in wide])
    assert [max(row)[1] for row in rows] == [0, 1, 2, 3, 4]
    assert min(max(row)[0] for row in rows) > 0.6


def tensors(store: Store) -> list[StoredTensor]:
    parts = store.resolve("main").parts
    return [tensor for part in parts for tensor in store._repository.manifests.part(part.id).tensors]


def test_no_more_is_read_than_was_granted(store: Store) -> None:
    store.commit({"model": encoder()})
    square = [tensor for tensor in tensors(store) if tensor.shape == (128, 128)]
    sketches = Sketches(store._repository)
    assert sketches.of_stored(square, keep=False) == []
    sketches.effort = 3 * square[0].nbytes + 1
    assert [tensor.name for tensor, _ in sketches.of_stored(square, keep=False)] == [t.name for t in square[:3]]
    assert sketches.effort == 1
    assert len(sketches.of_stored(square[:3], keep=False)) == 3, "what was read costs nothing more"


def test_a_commit_is_judged_by_cheap_tensors_of_several_forms_weights_first(store: Store) -> None:
    state = {"model": {"mask": np.arange(99), **encoder()}, "optimizer": {"state": [np.ones((128, 128), np.float32)]}}
    store.commit(state)
    found = tensors(store)
    lender = Lender.of(found, {form for t in found if (form := form_of_stored(t)) is not None})
    assert [tensor.shape for _, tensor in lender.probes()] == [(128,), (128, 128), (512, 128), (1000, 128)]
    assert {tensor.name.split("/")[0] for _, tensor in lender.probes()} == {"model"}
