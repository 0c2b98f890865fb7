"""Names of branches and tags: what git allows, and nothing that a ref expression uses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.history.refs import MAX_NAME_BYTES, Branch, Tag, parse_key

BAD = {
    "": "it is empty",
    "..": "it begins with '-' or contains '..'",
    "../x": "it begins with '-' or contains '..'",
    "-x": "it begins with '-' or contains '..'",
    "a b": "it contains ' '",
    "a\nb": "it contains '\\n'",
    "a\0b": "it contains '\\x00'",
    "a~1": "it contains '~'",
    "a@b": "it contains '@'",
    "step:5": "it contains ':'",
    "a*": "it contains '*'",
    "latest": "the word is reserved",
    "/abs": "a piece between slashes is empty, begins or ends with '.', or ends with '.lock'",
    "a//b": "a piece between slashes is empty, begins or ends with '.', or ends with '.lock'",
    "a/.b": "a piece between slashes is empty, begins or ends with '.', or ends with '.lock'",
    "a.lock": "a piece between slashes is empty, begins or ends with '.', or ends with '.lock'",
    "\ud800": "it is not valid Unicode",
    "x" * 4096: "it is 4096 bytes long, the limit is 200",
    None: "it is not a text",
    7: "it is not a text",
}


@pytest.mark.parametrize("name", BAD, ids=lambda name: repr(name)[:12])
@pytest.mark.parametrize("kind", [Branch, Tag])
def test_names_that_are_refused(kind: Any, name: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        kind(name)
    shown = repr(name)[:80]
    assert str(caught.value) == f"{shown} cannot be the name of a branch or tag: {BAD[name]}; choose another name"


@pytest.mark.parametrize(
    "name", ["main", "a/b/c", "v1.0", "lr=3e-4", "größe", "x" * MAX_NAME_BYTES, "123abc", "a-b_c+d"]
)
def test_names_that_are_fine(name: str) -> None:
    assert parse_key(Branch(name).key) == Branch(name)
    assert parse_key(Tag(name).key) == Tag(name)
    assert Branch(name) != Tag(name)


@given(st.text())
def test_every_name_is_refused_in_one_line_or_survives_its_key(name: str) -> None:
    try:
        branch = Branch(name)
    except InvalidInputError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
    else:
        assert parse_key(branch.key) == branch


def test_branches_and_tags_are_made_moved_and_removed(store: Store) -> None:
    first = store.commit({"n": 1}, step=1)
    second = store.commit({"n": 2}, step=2)
    store.branch("dev", "main~1")
    store.tag("best")
    assert store.branches() == {"dev": first, "main": second}
    assert store.tags() == {"best": second}
    store.branch("dev", "main", force=True)
    store.tag("best", first, force=True)
    assert (store.branches()["dev"], store.tags()["best"]) == (second, first)
    store.delete_branch("dev")
    store.delete_tag("best")
    assert (list(store.branches()), store.tags()) == (["main"], {})


def test_a_name_stands_for_one_thing(store: Store) -> None:
    commit = store.commit({"n": 1}, step=1, tags=["v1"])
    with pytest.raises(InvalidInputError) as caught:
        store.branch("v1")
    assert str(caught.value) == "branch 'v1': there is a tag 'v1' already; choose another name"
    with pytest.raises(InvalidInputError) as caught:
        store.tag("v1")
    assert str(caught.value) == f"tag 'v1' exists already, at {commit.id.short}; move it with --force (force=True)"
    with pytest.raises(InvalidInputError) as caught:
        store.commit({"n": 2}, branch="v1")
    assert str(caught.value) == "branch 'v1': a tag has that name already; choose another name"
    for taken in ("main", "fresh"):
        with pytest.raises(InvalidInputError) as caught:
            store.commit({"n": 2}, branch="fresh" if taken == "fresh" else "main", tags=taken)
        assert str(caught.value) == f"tag {taken!r}: a branch has that name already; choose another name"
    assert list(store.branches()) == ["main"]


def test_what_does_not_exist_cannot_be_removed(store: Store) -> None:
    store.commit({"n": 1}, branch="dev")
    with pytest.raises(NotFoundError) as caught:
        store.delete_branch("dve")
    assert str(caught.value) == "no branch 'dve'; did you mean 'dev'?"
    with pytest.raises(NotFoundError) as caught:
        store.delete_tag("dev")
    assert str(caught.value) == "no tag 'dev'; there are none"
