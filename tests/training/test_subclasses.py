"""Tensors that consist of others, such as quantised weights with their scales: stored by what they consist of."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from deltackpt import Checkpointer, FormatError, InvalidInputError, Store, register
from deltackpt.skeleton import registry

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - it needs torch


class Scaled(torch.Tensor):
    """Rows of int8, each with its scale, that behave as the float tensor they stand for."""

    rows: Any
    scale: Any

    @staticmethod
    def __new__(cls, rows: Any, scale: Any, note: str = "") -> Scaled:
        made = torch.Tensor._make_wrapper_subclass(cls, rows.shape, dtype=scale.dtype)
        made.rows, made.scale, made.note = rows, scale, note
        return made

    @classmethod
    def of(cls, plain: Any, note: str = "") -> Scaled:
        scale = plain.abs().amax(1, keepdim=True) / 127
        return cls((plain / scale).round().to(torch.int8), scale, note)

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return ["rows", "scale"], {"note": self.note, "kind": self.scale.dtype}

    @classmethod
    def __tensor_unflatten__(cls, inner: dict[str, Any], context: Any, size: Any, stride: Any) -> Scaled:
        assert context["kind"] == inner["scale"].dtype
        assert inner["rows"].shape == size
        return cls(inner["rows"], inner["scale"], context["note"])

    def plain(self) -> Any:
        return self.rows.to(self.scale.dtype) * self.scale

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if function in (aten.detach.default, aten.clone.default):
            one = args[0]
            return cls(function(one.rows), function(one.scale), one.note)
        if function is aten.copy_.default:
            args[0].rows.copy_(args[1].rows)
            args[0].scale.copy_(args[1].scale)
            return args[0]
        whole = [one.plain() if isinstance(one, cls) else one for one in args]
        return function(*whole, **(kwargs or {}))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_by_class", "_by_name"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    register(Scaled, "test.scaled")


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and torch.equal(one.rows, other.rows) and torch.equal(one.scale, other.scale)


@pytest.mark.usefixtures("known")
def test_inner_tensors_have_names_and_the_whole_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = Scaled.of(torch.randn(64, 32), "by rows")
    parameter = nn.Parameter(Scaled.of(torch.randn(8, 8)), requires_grad=False)
    with Store.init(tmp_path / "s") as store:
        store.commit({"model": {"w": weight, "p": parameter, "bias": torch.zeros(3)}})
        assert sorted(store.reader("main").keys()) == [
            "model/bias",
            "model/p/rows",
            "model/p/scale",
            "model/w/rows",
            "model/w/scale",
        ]
        found = store.load("main", part="model")
        assert same(found["w"], weight)
        assert (found["w"].note, found["w"].shape, found["w"].requires_grad) == ("by rows", weight.shape, False)
        assert same(found["p"], parameter)
        assert isinstance(found["p"], nn.Parameter)
        assert not found["p"].requires_grad
        target = {"w": Scaled.of(torch.randn(64, 32)), "p": Scaled.of(torch.randn(8, 8)), "bias": torch.ones(3)}
        assert "model/w/rows" in store.load_into(target, "main", part="model")
        assert same(target["w"], weight)
        assert store.verify(data=True).problems == []


@pytest.mark.usefixtures("known")
def test_a_training_with_such_weights_is_saved_and_resumed(tmp_path: Path) -> None:
    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
        model[0].weight = nn.Parameter(Scaled.of(model[0].weight.detach()), requires_grad=False)
        return model

    model = made(1)
    with Checkpointer(tmp_path / "s", model=model, worker="thread") as ckpt:
        ckpt.resume()
        ckpt.step(0)
        ckpt.save()
    other = made(2)
    with Checkpointer(tmp_path / "s", model=other, worker="thread") as ckpt:
        assert ckpt.resume("must") == 1
    assert same(other[0].weight, model[0].weight)
    x = torch.randn(3, 16)
    assert torch.equal(model(x), other(x))


def test_a_class_that_was_not_registered_is_neither_taken_apart_nor_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_by_class", "_by_name"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    weight = Scaled.of(torch.randn(4, 4))
    with Store.init(tmp_path / "s") as store:
        with pytest.raises(
            InvalidInputError, match=r"w: .*Scaled are not registered; call deltackpt.register\(Scaled\)"
        ):
            store.commit({"w": weight})
        register(Scaled, "test.scaled")
        store.commit({"w": weight})
        monkeypatch.setattr(registry, "_by_name", {})
        with pytest.raises(InvalidInputError, match=r"holds a 'test.scaled'; call deltackpt.register"):
            store.load("main")

        class Changed(Scaled):
            @classmethod
            def __tensor_unflatten__(cls, inner: Any, context: Any, size: Any, stride: Any) -> Any:
                return cls(inner["other"], inner["scale"])

        register(Changed, "test.scaled")
        with pytest.raises(FormatError, match=r"test.scaled cannot be put together: .*other"):
            store.load("main")


@pytest.mark.usefixtures("known")
def test_weights_and_moments_that_torchao_has_quantised(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torchao")
        from torchao.optim.subclass_8bit import OptimState8bit
        from torchao.quantization import Int8Tensor, Int8WeightOnlyConfig, quantize_

    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 8))
        quantize_(model, Int8WeightOnlyConfig())
        return model

    register(Int8Tensor)
    register(OptimState8bit)
    model, other = made(1), made(2)
    moment = OptimState8bit.zeros((512, 8))
    moment.copy_(torch.randn(512, 8))
    with Store.init(tmp_path / "s") as store:
        store.commit({"model": model.state_dict(), "optimizer": {"moment": moment}})
        assert {"model/0.weight/qdata", "optimizer/moment/codes"} <= set(store.reader("main").keys())
        found = store.load("main")
    assert torch.equal(found["optimizer"]["moment"].dequantize(), moment.dequantize())
    other.load_state_dict(found["model"], assign=True)
    x = torch.randn(4, 256)
    assert torch.equal(other(x), model(x))
