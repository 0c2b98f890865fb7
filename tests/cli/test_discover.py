"""Which store a command finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltackpt.cli.address import Address, store_folder
from deltackpt.cli.discover import StoreNotFoundError, default_store, named_store, stores_below
from deltackpt.cli.settings import Settings
from deltackpt.errors import InvalidInputError


def mark(folder: Path) -> Path:
    """Enough to be taken for a store."""
    folder.mkdir(parents=True)
    (folder / "store.json").write_text("{}")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, some levels down."""
    folder = tmp_path / "project" / "run"
    folder.mkdir(parents=True)
    monkeypatch.delenv("DELTACKPT_STORE", raising=False)
    monkeypatch.chdir(folder)
    return folder


def test_the_nearest_store_upwards_is_found(tmp_path: Path, run: Path) -> None:
    far = mark(tmp_path / ".deltackpt")
    assert default_store() == str(far)
    near = mark(run.parent / ".deltackpt")
    assert default_store() == str(near)
    (run / "store.json").write_text("{}")
    assert default_store() == str(run)


def test_a_tilde_is_the_home_also_where_no_shell_has_seen_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = mark(run / "ada" / "ckpts").parent
    monkeypatch.setenv("HOME", str(home))
    assert named_store("~/ckpts") == str(home / "ckpts")
    assert store_folder(Settings(), Address("main", "~/ckpts")) == str(home / "ckpts")
    monkeypatch.setenv("DELTACKPT_STORE", "~/ckpts")
    assert default_store() == str(home / "ckpts")


def test_the_environment_goes_before_what_lies_around(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(run / ".deltackpt")
    elsewhere = mark(run / "elsewhere" / ".deltackpt")
    monkeypatch.setenv("DELTACKPT_STORE", str(elsewhere.parent))
    assert default_store() == str(elsewhere)


def test_without_a_store_those_below_are_named(run: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"or above; make one with `deltackpt init`"):
        default_store()
    mark(run / "b" / "ckpts")
    with pytest.raises(StoreNotFoundError, match=r"below it there is 'b/ckpts': name one with --store"):
        default_store()


def test_the_search_below_is_bounded(run: Path) -> None:
    near, hidden = mark(run / "a" / "s"), mark(run / "a" / ".deltackpt")
    mark(run / "1" / "2" / "3" / "4" / "too-deep")
    mark(run / ".cache" / "s")
    (run / "loop").symlink_to(run)
    assert list(stores_below(str(run))) == [str(hidden), str(near)]


def test_a_folder_may_stand_for_the_store_in_it(run: Path) -> None:
    hidden = mark(run / ".deltackpt")
    assert named_store(str(run)) == str(hidden)
    assert named_store("nowhere") == "nowhere"


def test_addresses_split_at_the_last_mark() -> None:
    assert Address.parse("main~3") == Address("main~3")
    assert Address.parse("runs/a#main") == Address("main", "runs/a")
    assert Address.parse("odd#name#min:loss") == Address("min:loss", "odd#name")
    assert Address.parse("runs/a#") == Address("latest", "runs/a")
    assert Address.parse("../a#main~2..main") == Address("main~2..main", "../a")
    assert Address.parse("../a#main~2..../a#main") == Address("main~2..main", "../a")
    with pytest.raises(InvalidInputError):
        Address.parse("#main")


def test_refs_without_a_store_lie_in_the_one_that_is_told_or_found(run: Path) -> None:
    mark(run / "a")
    mark(run / "b")
    plain, there = Address("main"), Address("main", "a")
    assert store_folder(Settings(store="b"), plain) == "b"
    assert store_folder(Settings(store="b")) == "b"
    assert store_folder(Settings(store="./a"), there) == "a"
    assert store_folder(Settings(), there) == "a"
    assert store_folder(Settings(), there, Address("x", "./a")) == "a"
    with pytest.raises(StoreNotFoundError):
        store_folder(Settings(), plain, there)
    found = mark(run / ".deltackpt")
    assert store_folder(Settings(), plain, plain) == str(found)


def test_a_command_works_on_one_store(run: Path) -> None:
    for name in ("a", "c", ".deltackpt"):
        mark(run / name)
    there = Address("main", "a")
    with pytest.raises(InvalidInputError, match="one store, not on 'a' and 'c'"):
        store_folder(Settings(store="c"), there)
    with pytest.raises(InvalidInputError, match="one store, not on 'a' and 'c'"):
        store_folder(Settings(), there, Address("x", "c"))
    with pytest.raises(InvalidInputError, match=r"one store, not on '/.*/\.deltackpt' and 'a'"):
        store_folder(Settings(), Address("main"), there)
