"""fsspec: its own suite on a folder that is being written, and what is read of commits."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltackpt import DeltackptError, InvalidInputError, Keep, Store

fsspec = pytest.importorskip("fsspec")
torch = pytest.importorskip("torch")

import fsspec.tests.abstract as suite  # noqa: E402 - it needs fsspec
from safetensors.torch import load as loads  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from deltackpt.integrations.fsspec import DeltackptFileSystem  # noqa: E402


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    yield
    DeltackptFileSystem.clear_instance_cache()


class BeingWritten(suite.AbstractFixtures):
    """A folder within a transaction."""

    @pytest.fixture
    def fs(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        made = fsspec.filesystem("deltackpt", store=tmp_path_factory.mktemp("fs") / "s")
        made.start_transaction()
        yield made
        made.transaction.complete(commit=False)

    @pytest.fixture
    def fs_path(self) -> str:
        return "/"


class TestCopy(BeingWritten, suite.AbstractCopyTests):
    """Within the folder."""


class TestGet(BeingWritten, suite.AbstractGetTests):
    """Out of it."""


class TestPut(BeingWritten, suite.AbstractPutTests):
    """Into it."""


class TestOpen(BeingWritten, suite.AbstractOpenTests):
    """One file."""


class TestPipe(BeingWritten, suite.AbstractPipeTests):
    """The same in one go."""


@pytest.fixture
def weights() -> dict[str, Any]:
    torch.manual_seed(0)
    return {"a.weight": torch.randn(300, 200), "a.bias": torch.randn(300).to(torch.bfloat16)}


@pytest.fixture
def folder(tmp_path: Path, weights: dict[str, Any]) -> Path:
    made = tmp_path / "checkpoint-7"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "empty").mkdir()
    (made / "config.json").write_text('{"layers": 2}')
    (made / "deep" / "er" / "note").write_bytes(bytes(range(256)) * 40_000)
    save_file(weights, made / "deep" / "model.safetensors", {"format": "pt"})
    (made / "best").symlink_to("deep")
    (made / "latest.json").symlink_to("config.json")
    return made


def listed(fs: Any, path: str = "") -> list[str]:
    return sorted(path[1:] for path in fs.find(path, withdirs=True) if path != "/")


def test_every_file_of_a_folder_is_there_by_any_range(tmp_path: Path, folder: Path) -> None:
    with Store.init(tmp_path / "s") as store:
        store.commit_path(folder, step=7)
    fs, root = fsspec.url_to_fs(f"deltackpt://{tmp_path}/s@step:7")
    assert root == "/"
    assert [path for path in listed(fs) if not path.startswith(".tensors")] == [
        "best",
        "best/er",
        "best/er/note",
        "best/model.safetensors",
        "config.json",
        "deep",
        "deep/er",
        "deep/er/note",
        "deep/model.safetensors",
        "empty",
        "latest.json",
    ]
    for path in listed(fs):
        if not path.startswith(".tensors") and fs.isfile(path):
            assert fs.cat(path) == (folder / path).read_bytes()
            assert fs.size(path) == (folder / path).stat().st_size
            assert fs.info(path)["mtime"] == pytest.approx((folder / path).stat().st_mtime)
    whole = (folder / "deep" / "model.safetensors").read_bytes()
    with fs.open("deep/model.safetensors", block_size=1000) as file:
        for start, stop in [(0, 8), (5, 3000), (len(whole) - 70, len(whole) + 5), (100_000, 100_001), (9, 9)]:
            file.seek(start)
            assert file.read(stop - start) == whole[start:stop]
    note = (folder / "deep" / "er" / "note").read_bytes()
    for start, stop in [(0, 1), (4_999_999, 5_000_300), (10_000_000, 20_000_000)]:
        assert fs.cat_file("deep/er/note", start, stop) == note[start:stop], "of a file that is cut by its content"
    fs.get("deep", str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "er" / "note").read_bytes() == (folder / "deep" / "er" / "note").read_bytes()
    for missing in ("s@main/nothing", "s@main/deep", "s@main/config.json/x", "elsewhere@main/config.json"):
        with pytest.raises(FileNotFoundError), fsspec.open(f"deltackpt://{tmp_path}/{missing}"):
            pass


def test_every_tensor_is_a_file_whatever_was_committed(tmp_path: Path, folder: Path, weights: dict[str, Any]) -> None:
    wide = torch.randn(64, 5000)
    state = {
        "model": weights,
        "optimizer": {"moment": wide.t(), "rows": wide[3:9], "column": wide[:, 7], "../up": torch.ones(())},
        "loss": torch.tensor(0.5),
    }
    with Store.init(tmp_path / "s") as store:
        store.commit_path(folder)
        store.commit(state, step=1)
    by_file = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"), ref="main~1")
    names = [path for path in by_file.find(".tensors") if path.endswith("a.bias.safetensors")]
    (bias,) = loads(by_file.cat(names[0])).values()
    assert torch.equal(bias, weights["a.bias"])
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"))
    assert sorted(fs.ls("", detail=False)) == [
        "/.tensors",
        "/model.safetensors",
        "/optimizer.safetensors",
        "/state.safetensors",
    ]
    (moment,) = loads(fs.cat(".tensors/optimizer/moment.safetensors")).values()
    assert torch.equal(moment, wide.t())
    with fs.open(".tensors/optimizer/moment.safetensors", block_size=4096) as file:
        whole = fs.cat(".tensors/optimizer/moment.safetensors")
        file.seek(500_001)
        assert file.read(77) == whole[500_001:500_078]
    assert len(fs.find(".tensors")) == 7, "also the one whose name would lead out of its folder"
    with Store(tmp_path / "s") as store:
        for part in ("model", "optimizer"):
            store.checkout("main", tmp_path / part, part=part)
            assert fs.cat(f"{part}.safetensors") == (tmp_path / part).read_bytes()
            assert load_file(tmp_path / part).keys() == loads(fs.cat(f"{part}.safetensors")).keys()


def test_a_file_committed_by_itself_has_its_name(tmp_path: Path, folder: Path) -> None:
    with Store.init(tmp_path / "s") as store:
        store.commit_path(folder / "deep" / "model.safetensors")
    with fsspec.open(f"deltackpt://{tmp_path}/s@main/model.safetensors") as file:
        assert file.read() == (folder / "deep" / "model.safetensors").read_bytes()


def test_what_is_written_from_start_to_end_is_one_commit(tmp_path: Path, folder: Path) -> None:
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "new"), ref="exp/a", staging=str(tmp_path))
    with fs.transaction as transaction:
        transaction.describe(step=7, metrics={"loss": 0.5})
        fs.put(f"{folder}/", "/", recursive=True)
        with fsspec.open(f"deltackpt://{tmp_path}/new@exp%2Fa/by-url", "w", staging=str(tmp_path)) as file:
            file.write("as text")
        assert fs.cat("by-url") == b"as text", "what was written is read back"
        fs.rm("config.json")
        left_open = fs.open("left-open", "wb")
        left_open.write(b"to the end")
    with Store(tmp_path / "new") as store:
        (commit,) = store.log("exp/a")
        assert (commit.step, commit.metrics, commit.id) == (7, {"loss": 0.5}, transaction.commit.id)
        store.checkout(commit, tmp_path / "out")
    assert (tmp_path / "out" / "left-open").read_bytes() == b"to the end"
    assert not (tmp_path / "out" / "config.json").exists()
    assert fs.cat("by-url") == b"as text"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("deltackpt-")], "nothing is left beside"
    with fs.transaction:
        fs.pipe("alone", b"1")
    assert not fs.exists("by-url"), "a commit is what was written, and not what was there before"


def test_after_an_error_nothing_was_written(tmp_path: Path) -> None:
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"), staging=str(tmp_path))
    with contextlib.suppress(ZeroDivisionError), fs.transaction:
        fs.pipe("a", b"1")
        raise ZeroDivisionError
    with fs.transaction as empty:
        pass
    with Store(tmp_path / "s") as store:
        assert (store.branches(), empty.commit) == ({}, None)
    assert os.listdir(tmp_path) == ["s"]


def test_a_commit_stays_as_it_is(tmp_path: Path, folder: Path) -> None:
    with Store.init(tmp_path / "s") as store:
        store.commit_path(folder)
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"))
    for change in (
        lambda: fs.pipe("config.json", b""),
        lambda: fs.rm("config.json"),
        lambda: fs.mkdir("new"),
        lambda: fs.cp_file("config.json", "copy"),
        lambda: fs.put(str(folder / "config.json"), "other"),
        lambda: fs.open("config.json", "ab"),
    ):
        with pytest.raises(InvalidInputError, match=r"write a new one within `with fs.transaction:`"):
            change()
    before = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"), ref="main~0")
    with pytest.raises(DeltackptError), before.transaction:
        before.pipe("a", b"")
    with fs.open("config.json") as opened:
        with fs.transaction:
            fs.pipe("config.json", b"newer")
        assert opened.read() == b'{"layers": 2}', "as it was when it was opened"
    assert fs.cat("config.json") == b"newer"
    assert pickle.loads(pickle.dumps(fs)).cat("config.json") == b"newer"


def test_urls_say_which_store_and_which_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "at@home" / "100%"
    odd.parent.mkdir()
    with Store.init(odd) as store:
        store.commit({"model": {"w": torch.ones(3)}}, branch="exp/a", step=3, metrics={"loss": 1.0})
    url = f"deltackpt://{tmp_path}/at%40home/100%25@exp%2Fa@min:loss/model.safetensors"
    with fsspec.open(url) as file:
        assert torch.equal(loads(file.read())["w"], torch.ones(3))
    fs, path = fsspec.url_to_fs(url)
    assert fs.unstrip_protocol(path) == url
    monkeypatch.chdir(odd.parent)
    relative, _ = fsspec.url_to_fs("deltackpt://100%25@exp%2Fa@min:loss")
    assert relative is fs
    with pytest.raises(InvalidInputError, match="is not of deltackpt://"):
        fs.cat("deltackpt://elsewhere@main/model.safetensors")
    for wrong in ("deltackpt://@main/x", "deltackpt://s@/x"):
        with pytest.raises(InvalidInputError, match="STORE@REF/PATH"):
            fsspec.url_to_fs(wrong)
    gone = fsspec.filesystem("deltackpt", store=str(odd), ref="nobody")
    with pytest.raises(FileNotFoundError, match="nobody"):
        gone.ls("")


def test_a_file_that_was_thinned_says_so(tmp_path: Path, folder: Path) -> None:
    torch.save({"state": {0: {"m": torch.randn(200, 200)}}, "param_groups": [{"params": [0]}]}, folder / "optimizer.pt")
    with Store.init(tmp_path / "s") as store:
        for step in (1, 2):
            store.commit_path(folder, step=step)
        store.prune(Keep(last=2, optimizer=1))
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"), ref="step:1")
    with pytest.raises(FileNotFoundError, match="thinned of optimizer"):
        fs.cat("optimizer.pt")
    assert fs.cat("config.json") == b'{"layers": 2}'
    assert "/config.json" in fs.ls("", detail=False)
    fs.ls("", detail=True)


def test_a_distributed_checkpoint_is_written_and_read_by_its_url(tmp_path: Path, weights: dict[str, Any]) -> None:
    """Its writer syncs each file by its descriptor, and gives the metadata their name in the end."""
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter

    url = f"deltackpt://{tmp_path}/s@main/step-1"
    fs, _ = fsspec.url_to_fs(url)
    with fs.transaction as transaction, warnings.catch_warnings(action="ignore"):
        dcp.save({"model": weights}, storage_writer=FsspecWriter(url), no_dist=True)
        with fs.open("step-1/descriptor", "wb") as file:
            os.fsync(file.fileno())
    assert transaction.commit is not None
    assert fs.exists("step-1/.metadata")
    assert not fs.exists("step-1/.metadata.tmp")
    loaded = {"model": {name: torch.zeros_like(value) for name, value in weights.items()}}
    with warnings.catch_warnings(action="ignore"):
        dcp.load(loaded, storage_reader=FsspecReader(url), no_dist=True)
    assert all(torch.equal(loaded["model"][name], value) for name, value in weights.items())


def test_odd_names_are_names(tmp_path: Path) -> None:
    names = ["a b", "100%", "x@y", "q?", "#1", "ünï", "[0]", "a%2Fb", "-", "deep er/at@x"]
    fs = fsspec.filesystem("deltackpt", store=str(tmp_path / "s"))
    with fs.transaction:
        for name in names:
            fs.pipe(name, name.encode())
    assert sorted(path[1:] for path in fs.find("/") if not path.startswith("/.tensors")) == sorted(names)
    for name in names:
        assert fs.cat_file(name) == name.encode()
        with fsspec.open(f"deltackpt://{tmp_path}/s@main/{name}") as file:
            assert file.read() == name.encode()
