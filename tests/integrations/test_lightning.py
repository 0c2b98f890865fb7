"""Lightning, the real one: its checkpoints are commits, whatever stands at their paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltackpt import FormatError, InvalidInputError, Keep, Store

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import lightning  # noqa: E402
from lightning.fabric.plugins import TorchCheckpointIO  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from lightning.pytorch.plugins.io import AsyncCheckpointIO  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from deltackpt.integrations.lightning import DeltackptIO  # noqa: E402

DATA = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))


class Module(lightning.LightningModule):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, width), nn.Linear(width, 1))

    def training_step(self, batch: Any, number: int) -> Any:
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
        self.log("loss", loss, on_step=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def fit(folder: Path, plugin: Any, steps: int, *, resume: Path | None = None, **choice: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    module = Module()
    saving = ModelCheckpoint(
        folder / "ckpts", filename="{step}", **{"save_top_k": -1, "every_n_train_steps": 2, **choice}
    )
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        plugins=[plugin],
        callbacks=[saving],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(DATA, batch_size=4), ckpt_path=resume)
    return module, saving


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("files", ["real", "stub"])
def test_a_checkpoint_is_a_commit_and_goes_on_from_its_path(tmp_path: Path, files: Any) -> None:
    fit(tmp_path, DeltackptIO(tmp_path / "s", files=files), 8)
    first = tmp_path / "ckpts" / "step=4.ckpt"
    assert (first.stat().st_size < 300) is (files == "stub")
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [8, 6, 4, 2]
        assert store.resolve("main~2").message == "step=4.ckpt"
    again, _ = fit(tmp_path / "again", DeltackptIO(tmp_path / "s", files=files), 8, resume=first)
    fit(tmp_path / "stock", TorchCheckpointIO(), 8)
    as_ever, _ = fit(tmp_path / "ever", TorchCheckpointIO(), 8, resume=tmp_path / "stock" / "ckpts" / "step=4.ckpt")
    assert same(as_ever, again)
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [8, 6, 4, 2]
        assert len(store.branches()) == 2, "the line that the second run left has a name"


def test_a_stub_becomes_the_file_that_it_stands_for(tmp_path: Path) -> None:
    plugin = DeltackptIO(tmp_path / "s", files="stub")
    module, saving = fit(tmp_path, plugin, 4)
    plugin.restore_file(saving.best_model_path)
    loaded = Module.load_from_checkpoint(saving.best_model_path, weights_only=True)
    assert same(loaded, module)
    plugin.restore_file(saving.best_model_path)


def test_asynchronously_with_the_best_and_the_last(tmp_path: Path) -> None:
    plugin = AsyncCheckpointIO(DeltackptIO(tmp_path / "s"))
    module, _ = fit(tmp_path, plugin, 8, save_top_k=2, monitor="loss", save_last=True)
    assert len(list((tmp_path / "ckpts").glob("step=*.ckpt"))) == 2
    assert (tmp_path / "ckpts" / "last.ckpt").exists()
    with Store(tmp_path / "s") as store:
        line = list(store.log("main"))
        assert {commit.step for commit in line if commit.step is not None} >= {2}
        assert all("loss" in commit.metrics for commit in line if commit.message != "last.ckpt")
        newest = store.load("main")["state_dict"]
        assert all(torch.equal(newest[name], value) for name, value in module.state_dict().items())


def test_the_policy_is_the_stores_own(tmp_path: Path) -> None:
    fit(tmp_path, DeltackptIO(tmp_path / "s", files="stub", keep=Keep(last=2)), 8)
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log()] == [8, 6]


def test_what_is_no_stub_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(b'{"deltackpt": 3')
    with pytest.raises(FormatError, match="begins like a stub and is none"):
        DeltackptIO(tmp_path / "s").load_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(TypeError, match="storage_options"):
        DeltackptIO(tmp_path / "s").save_checkpoint({}, tmp_path / "y.ckpt", storage_options={})


def test_a_file_that_somebody_else_removed_is_written_again(tmp_path: Path) -> None:
    plugin = DeltackptIO(tmp_path / "s")
    plugin.remove_checkpoint(tmp_path / "last.ckpt")
    plugin.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    assert plugin.load_checkpoint(tmp_path / "last.ckpt") == {"global_step": 1}
    plugin.teardown()


def test_fabric_saves_and_loads_by_the_names_of_arguments(tmp_path: Path) -> None:
    fabric = lightning.Fabric(accelerator="cpu", devices=1, plugins=[DeltackptIO(tmp_path / "s", files="stub")])
    module = nn.Linear(3, 2)
    fabric.save(tmp_path / "a.ckpt", {"net": module, "step": 7})
    other = nn.Linear(3, 2)
    state = {"net": other, "step": 0}
    fabric.load(tmp_path / "a.ckpt", state)
    assert same(module, other)
    assert state["step"] == 7


def test_real_files_may_lie_where_a_url_leads(tmp_path: Path) -> None:
    url = "memory://ckpts/last.ckpt"
    plugin = DeltackptIO(tmp_path / "s")
    for step in (1, 2):
        asynchronous = AsyncCheckpointIO(plugin)
        asynchronous.save_checkpoint({"global_step": step}, url)
        asynchronous._executor.shutdown(wait=True)
        assert plugin.load_checkpoint(url) == {"global_step": step}
        asynchronous.remove_checkpoint(url)
    plugin.teardown()
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [2, 1]


def test_a_folder_within_a_store_is_refused_with_what_to_use(tmp_path: Path) -> None:
    """A commit is a whole folder, and stays as it is: file by file is not how one is written."""
    folder = f"deltackpt://{tmp_path}/s@main/ckpts"
    for plugin in (TorchCheckpointIO(), DeltackptIO(tmp_path / "other")):
        saving = ModelCheckpoint(folder, every_n_train_steps=2)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(max_steps=2, accelerator="cpu", plugins=[plugin], callbacks=[saving], **quiet)
        with pytest.raises(InvalidInputError, match=r"such as deltackpt.integrations.lightning.DeltackptIO$"):
            trainer.fit(Module(), DataLoader(DATA, batch_size=4))
