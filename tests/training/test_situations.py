"""What trainings do to their models and optimizers between one save and the next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import make_newer

from deltackpt import Checkpointer, InvalidInputError, Keep, Store
from deltackpt.errors import UnsupportedError

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - it needs torch

from deltackpt.training.modules import BareNames, module_state  # noqa: E402


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def mlp(width: int = 128) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


def train(model: nn.Module, optimizer: Any, steps: int = 1, width: int = 128) -> None:
    for _ in range(steps):
        x = torch.randn(8, width)
        model(x).square().mean().backward()
        for one in optimizer if isinstance(optimizer, list) else [optimizer]:
            one.step()
            one.zero_grad()


def save(path: Path, step: int = 1, change: Callable[[], object] = lambda: None, **things: Any) -> None:
    """Go on from what is there, ``change`` something, and save it as ``step`` completed steps."""
    with Checkpointer(path, **{"worker": "thread", **things}) as ckpt:
        ckpt.resume()
        change()
        ckpt.step(step - 1)
        ckpt.save()


def resumed(path: Path, which: str = "must", **things: Any) -> int:
    how = {key: things.pop(key) for key in ("optimizer_as",) if key in things}
    with Checkpointer(path, **{"worker": "thread", **things}) as ckpt:
        return ckpt.resume(which, optimizer=how.get("optimizer_as", "load"))


@torch.no_grad()
def nudge(model: nn.Module) -> None:
    """Move each weight by one part in ten thousand, as a training does between two saves."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.mul_(1 + 1e-4 * torch.randn_like(parameter))


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = module_state(one), module_state(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Wrappers


class Wrapper(nn.Module):
    """Stands for a wrapper of that class name: its child shows in names."""

    def __init__(self, child: nn.Module, name: str) -> None:
        super().__init__()
        setattr(self, name, child)


def wrapped(kind: str, child: nn.Module, name: str) -> nn.Module:
    return type(kind, (Wrapper,), {"forward": lambda self, x: getattr(self, name)(x)})(child, name)


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize(
    "around",
    [
        lambda m: compiled(m),
        lambda m: nn.DataParallel(m),
        lambda m: wrapped("DistributedDataParallel", compiled(m), "module"),
        lambda m: nn.Sequential(compiled(m[0]), m[1], wrapped("CheckpointWrapper", m[2], "_checkpoint_wrapped_module")),
        lambda m: wrapped("FullyShardedDataParallel", m, "_fsdp_wrapped_module"),
    ],
    ids=["compile", "DataParallel", "DDP of compile", "layers", "FSDP"],
)
def test_wrappers_come_and_go(path: Path, around: Any) -> None:
    plain = mlp()
    optimizer = torch.optim.AdamW(plain.parameters())
    train(plain, optimizer)
    save(path, model=plain, optimizer=optimizer)
    model = mlp()
    outside = around(model)
    inside_optimizer = torch.optim.AdamW(outside.parameters())
    assert resumed(path, model=outside, optimizer=inside_optimizer) == 1
    assert equal(outside, plain)
    save(path, 2, lambda: nudge(model), model=outside, optimizer=inside_optimizer)
    again = mlp()
    assert resumed(path, model=again, optimizer=torch.optim.AdamW(again.parameters())) == 2
    assert equal(again, model)
    with Store(path) as store:
        assert list(store.load("main")["model"]) == list(plain.state_dict())
        rows = [row for row in store.inventory("main") if row.part == "model" and row.name.endswith("weight")]
        assert all(row.max_rank if hasattr(row, "max_rank") else row.rank for row in rows), (
            "the base of the delta was found"
        )


def test_a_child_called_module_keeps_its_name() -> None:
    model = torch.optim.swa_utils.AveragedModel(mlp())
    assert [BareNames(model).of(name) for name in model.state_dict()][1] == "module.0.weight"
    deep = wrapped("DistributedDataParallel", nn.ModuleDict({"module": mlp()}), "module")
    assert next(iter(module_state(deep))) == "module.0.weight"


def test_a_wrapped_state_that_was_committed_as_it_is_fits_too(path: Path) -> None:
    model = mlp()
    with Store.init(path) as store:
        store.commit({"model": {f"module._orig_mod.{k}": v for k, v in model.state_dict().items()}}, step=5)
    other = mlp()
    assert resumed(path, model=other) == 5
    assert equal(other, model)


# Optimizers


class Quantised(torch.optim.Optimizer):
    """Keeps its moment in uint8 with a scale, and a factored one; loads as PyTorch's optimizers do."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                scale = parameter.grad.abs().max() / 127
                state["m"] = (parameter.grad / scale + 128).to(torch.uint8)
                state["scale"] = scale
                state["rows"] = parameter.grad.flatten(1).mean(1) if parameter.grad.dim() > 1 else parameter.grad * 1
                state["step"] = state.get("step", 0) + 1
                parameter -= group["lr"] * (state["m"].float() - 128) * scale


def halves(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(model[0].parameters(), 1e-2, momentum=0.9), torch.optim.RMSprop(model[2].parameters())]


@pytest.mark.parametrize(
    "make",
    [
        lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        lambda m: torch.optim.Adafactor(m.parameters()),
        lambda m: torch.optim.AdamW(m.parameters(), amsgrad=True),
        lambda m: Quantised(m.parameters()),
        halves,
    ],
    ids=["SGD", "momentum", "Adafactor", "AMSGrad", "uint8", "several"],
)
def test_optimizers_come_back_bit_for_bit(path: Path, make: Any) -> None:
    model = mlp()
    optimizer = make(model)
    train(model, optimizer, 3)
    save(path, model=model, optimizer=optimizer)
    other = mlp()
    again = make(other)
    resumed(path, model=other, optimizer=again)
    for one, two in zip(*(o if isinstance(o, list) else [o] for o in (optimizer, again)), strict=True):
        for a, b in zip(one.state.values(), two.state.values(), strict=True):
            for key in a:
                same = (
                    torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype
                    if torch.is_tensor(a[key])
                    else a[key] == b[key]
                )
                assert same, key
    torch.manual_seed(1)
    train(model, optimizer)
    torch.manual_seed(1)
    train(other, again)
    assert equal(model, other)


def test_float32_moments_of_16_bit_weights_keep_their_bits(path: Path) -> None:
    model = mlp().to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        moments = {"exp_avg": torch.randn(parameter.shape), "exp_avg_sq": torch.rand(parameter.shape)}
        optimizer.state[parameter] = {"step": torch.tensor(1.0), **moments}
    save(path, model=model, optimizer=optimizer)
    other = mlp().to(torch.bfloat16)
    again = torch.optim.AdamW(other.parameters())
    resumed(path, model=other, optimizer=again)
    for a, b in zip(optimizer.state.values(), again.state.values(), strict=True):
        assert torch.equal(a["exp_avg"], b["exp_avg"])


def test_groups_in_another_order_are_matched_by_name(path: Path) -> None:
    """Both layers have the same shapes: by position, their moments would be swapped without a word."""
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    forwards = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[1].parameters(), "lr": 1e-3}]
    )
    train(model, forwards, width=16)
    save(path, model=model, optimizer=forwards)
    other = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    backwards = torch.optim.AdamW([{"params": other[1].parameters()}, {"params": other[0].parameters()}])
    resumed(path, model=other, optimizer=backwards)
    assert [group["lr"] for group in backwards.param_groups] == [1e-3, 1e-2]
    for a, b in zip(model, other, strict=True):
        assert torch.equal(forwards.state[a.weight]["exp_avg"], backwards.state[b.weight]["exp_avg"])


def test_groups_cut_in_another_way_are_matched_by_name(path: Path) -> None:
    """One group becomes two, as when biases lose their decay, and back: each moment stays with its parameter."""
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    one = torch.optim.AdamW(model.parameters(), lr=1e-2)
    train(model, one, width=16)
    save(path, model=model, optimizer=one)

    def cut(model: nn.Module) -> Any:
        biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
        weights = [parameter for name, parameter in model.named_parameters() if name.endswith("weight")]
        return torch.optim.AdamW([{"params": biases}, {"params": weights}], lr=1)

    other = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    two = cut(other)
    resumed(path, model=other, optimizer=two)
    assert [group["lr"] for group in two.param_groups] == [1e-2, 1e-2]
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.state[a]["exp_avg"], two.state[b]["exp_avg"])
    save(path, 2, model=other, optimizer=two)
    third = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    again = torch.optim.AdamW(third.parameters(), lr=1)
    assert resumed(path, model=third, optimizer=again) == 2
    for a, b in zip(model.parameters(), third.parameters(), strict=True):
        assert torch.equal(one.state[a]["exp_avg_sq"], again.state[b]["exp_avg_sq"])


def test_groups_that_cannot_be_matched_are_refused(path: Path) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    two = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[1].parameters(), "lr": 1e-3}]
    )
    train(model, two, width=16)
    save(path, model=model, optimizer=two)
    other = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    with pytest.raises(InvalidInputError, match=r"the group of 0.weight joins parameters that were in 2 groups with"):
        resumed(path, model=other, optimizer=torch.optim.AdamW(other.parameters()))
    with pytest.raises(InvalidInputError, match=r"2 parameters are not here any more \(1.bias, ...\)"):
        resumed(path, model=other, optimizer=torch.optim.AdamW(other[0].parameters()))


def test_another_optimizer_is_refused_with_the_reason_or_begun_anew(path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    save(path, model=model, optimizer=optimizer)
    other = mlp()
    before = copy.deepcopy(other.state_dict())
    sgd = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(
        InvalidInputError, match=r"AdamW was stored, here it is SGD; resume\(..., optimizer=\"reset\"\)"
    ):
        resumed(path, model=other, optimizer=sgd)
    assert torch.equal(other[0].weight, before["0.weight"]), "nothing changed"
    assert resumed(path, model=other, optimizer=sgd, optimizer_as="reset") == 1
    assert equal(other, model)
    assert not sgd.state


# What is stored


def sizes(path: Path, part: str | None = None) -> list[int]:
    """What each commit added, oldest first."""
    with Store(path) as store:
        return [commit.stored_bytes for commit in reversed(list(store.log("main")))]


def test_a_frozen_backbone_costs_nothing(path: Path) -> None:
    model = nn.ModuleDict({"backbone": mlp(256), "head": nn.Linear(256, 4)})
    model["backbone"].requires_grad_(False)
    for step in (1, 2):
        save(path, step, lambda: nudge(model), model=model)
    assert sizes(path)[0] > 800_000
    assert sizes(path)[1] < 40_000


def test_an_adapter_alone_is_stored_and_comes_back_over_its_base(path: Path) -> None:
    def lora() -> nn.Module:
        model = nn.ModuleDict({"base": mlp(256), "lora_a": nn.Linear(256, 4), "lora_b": nn.Linear(4, 256)})
        model["base"].requires_grad_(False)
        return model

    model = lora()
    save(path, model=model, include=["lora_*"])
    with Store(path) as store:
        assert all(name.startswith("lora_") for name in store.load("main")["model"])
    assert sizes(path)[0] < 100_000
    other = lora()
    base = other["base"][0].weight.clone()
    resumed(path, model=other, include=["lora_*"])
    assert torch.equal(other["lora_a"].weight, model["lora_a"].weight)
    assert torch.equal(other["base"][0].weight, base)


def test_frozen_weights_are_referred_to_and_checked(path: Path) -> None:
    def tuned() -> nn.Module:
        torch.manual_seed(4)
        model = nn.ModuleDict({"base": mlp(256), "head": nn.Linear(256, 4)})
        model["base"].requires_grad_(False)
        return model

    model = tuned()
    with torch.no_grad():
        model["head"].weight.add_(1)
    save(path, model=model, frozen="reference", origin="hub:base-7b@abc")
    with Store(path) as store:
        assert list(store.load("main")["model"]) == ["head.weight", "head.bias"]
        assert store.load("main")["frozen"]["origin"] == "hub:base-7b@abc"
    with Checkpointer(path, model=model, frozen="reference", origin="hub:base-7b@abc", worker="thread") as ckpt:
        ckpt.resume()
        model["base"][0].bias.data = torch.ones(512)
        ckpt.step(1)
        ckpt.save()
    with Store(path) as store:
        first, second = (store.load(ref, part="frozen")["hashes"] for ref in ("step:1", "step:2"))
    assert [name for name in first if first[name] != second[name]] == ["base.0.bias"]
    with pytest.raises(InvalidInputError, match=r"'base.0.weight' is on the meta device; load the base before"):
        Checkpointer(path, model=tuned().to("meta"), frozen="reference")
    other = tuned()
    resumed(path, "step:1", model=other, frozen="reference")
    assert torch.equal(other["head"].weight, model["head"].weight)
    wrong = tuned()
    with torch.no_grad():
        wrong["base"][0].bias[3] += 1e-6
    with pytest.raises(
        InvalidInputError, match=r"not those that were trained on \(from 'hub:base-7b@abc'\): base.0.bias"
    ):
        resumed(path, model=wrong, frozen="reference")


def test_an_averaged_model_is_a_delta_to_its_last_version(path: Path) -> None:
    model = mlp(256)
    ema = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999))

    def change() -> None:
        for _ in range(3):
            nudge(model)
            ema.update_parameters(model)

    for step in (1, 2):
        save(path, step, change, model=model, extra={"ema": ema})
    with Store(path) as store:
        rows = {row.name: row for row in store.inventory("main")}
        assert rows["ema/module.0.weight"].rank > 0
    other = torch.optim.swa_utils.AveragedModel(mlp(256))
    resumed(path, model=mlp(256), extra={"ema": other})
    assert torch.equal(other.module[0].weight, ema.module[0].weight)


def test_tied_weights_are_stored_once_and_stay_tied(path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.ModuleDict({"emb": nn.Embedding(1000, 64), "head": nn.Linear(64, 1000, bias=False)})
        model["head"].weight = model["emb"].weight
        return model

    model = tied()
    save(path, model=model)
    with Store(path) as store:
        state = store.load("main", part="model")
        assert state["emb.weight"].data_ptr() == state["head.weight"].data_ptr()
    assert sizes(path)[0] < 300_000
    other = tied()
    resumed(path, model=other)
    assert other["head"].weight is other["emb"].weight
    assert equal(model, other)


def test_a_larger_vocabulary_keeps_its_old_rows(path: Path) -> None:
    old = nn.Embedding(30_000, 64)
    save(path, model=old)
    new = nn.Embedding(30_100, 64)
    with torch.no_grad():
        new.weight[:30_000] = old.weight
    with Checkpointer(path, model=new, branch="larger", start_from="main", strict=False, worker="thread") as ckpt:
        ckpt.resume()
        ckpt.step(0)
        ckpt.save()
    with Store(path) as store:
        assert store.resolve("larger").stored_bytes < store.resolve("main").stored_bytes / 2


def test_buffers_and_counters_come_back(path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    for _ in range(3):
        model(torch.randn(4, 8))
    save(path, model=model)
    other = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    resumed(path, model=other)
    assert other[1].num_batches_tracked == 3
    assert equal(model, other)


def test_a_model_on_the_meta_device_becomes_real(path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = nn.Embedding(50, 8)
            self.head = nn.Linear(8, 50, bias=False)
            self.head.weight = self.emb.weight

    model = Tied()
    save(path, model=model)
    with torch.device("meta"):
        other = Tied()
    with Checkpointer(path, model=other, worker="thread") as ckpt:
        assert ckpt.resume() == 1
        assert other.head.weight is other.emb.weight
        assert equal(model, other)
        ckpt.step(1)
        ckpt.save()


def test_a_default_device_of_the_program_changes_nothing(path: Path) -> None:
    model = mlp()
    with torch.device("meta"):
        save(path, model=model)
        other = mlp().to_empty(device="cpu")
        resumed(path, model=other)
    assert equal(model, other)


def test_a_default_type_of_the_program_changes_nothing(path: Path) -> None:
    model = mlp()
    save(path, model=model)
    torch.set_default_dtype(torch.float64)
    other = mlp().float()
    resumed(path, model=other)
    assert equal(model, other)
    save(path, 2, model=other)
    with Store(path) as store:
        assert {value.dtype for value in store.load("main", part="model").values()} == {torch.float32}


def test_a_part_is_halved_knowingly(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 2)
    save(path, model=model, optimizer=optimizer, cast={"optimizer.*": "bf16"})
    with Store(path) as store:
        moments = store.load("main", part="optimizer")["state"][0]
        assert (moments["exp_avg"].dtype, moments["step"].dtype) == (torch.bfloat16, torch.float32)
        said = store.resolve("main").meta["training"]["cast"]
        assert (said["rules"], said["from"], len(said["tensors"])) == ({"optimizer.*": "bfloat16"}, "float32", 8)
    other = mlp()
    again = torch.optim.AdamW(other.parameters())
    resumed(path, model=other, optimizer=again)
    (first, *_), (second, *_) = optimizer.state.values(), again.state.values()
    assert second["exp_avg"].dtype == torch.float32
    assert torch.equal(first["exp_avg"].bfloat16().float(), second["exp_avg"])
    save(path, 2, model=other, cast={"optimiser.*": "bf16"})
    assert "cast= has rules for no float32 tensor of this save: optimiser.*" in caplog.text
    with pytest.raises(InvalidInputError, match="one of bf16"):
        save(path, 3, model=other, cast={"*": "int4"})


# What is refused at once


class Odd:
    def state_dict(self) -> dict[str, Any]:
        return {"hook": print}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("things", "complaint"),
    [
        ({"scheduler": object()}, r"scheduler: an object of class builtins.object has no state_dict\(\)"),
        ({"extra": {"ema": {"a": 3}}}, r"ema/a: an object of class builtins.int has no state_dict\(\)"),
        ({"dataloader": torch.utils.data.DataLoader([1])}, "use torchdata's StatefulDataLoader"),
        ({"extra": {"odd": Odd()}}, "odd/hook: functions cannot be stored"),
        ({"extra": {"rng": nn.Linear(1, 1)}}, "extra= holds 'rng', a name that is taken"),
        ({"branch": "no good"}, "cannot be the name of a branch"),
        ({"keep": Keep(last=1), "every": "x"}, "every is a number of steps"),
        ({"worker": "fork"}, "worker is 'process' or 'thread'"),
        ({"memory": "all"}, "memory is 'auto' or 'low'"),
        (
            {"include": ["*.weight", "lora_*"]},
            "include='lora_.' matches no tensor of the model; .* such as 0.weight, 0.bias",
        ),
    ],
)
def test_what_could_not_be_saved_is_refused_when_it_is_handed_over(
    path: Path, things: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        Checkpointer(path, **{"model": mlp(), **things})


def test_a_store_of_a_newer_format_is_refused_at_once(path: Path) -> None:
    Store.init(path).close()
    make_newer(path)
    with pytest.raises(UnsupportedError, match="upgrade"):
        Checkpointer(path, model=mlp())
