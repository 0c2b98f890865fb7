"""The policy as a value: what it accepts, how it reads, and that TOML gives it back."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt import Keep
from deltackpt.errors import InvalidInputError

counts = st.none() | st.integers(1, 10**6)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
metrics = st.builds(lambda way, name: f"{way}:{name}", st.sampled_from(["min", "max"]), texts)
policies = st.builds(
    Keep,
    last=counts,
    every=counts,
    within=st.none() | st.integers(0, 10**8).map(lambda s: datetime.timedelta(seconds=s)),
    best=st.dictionaries(metrics, st.integers(1, 9), max_size=3),
    milestones=st.lists(st.integers(-(10**6), 10**9), max_size=4),
    tags=st.lists(texts, max_size=3),
    optimizer=counts,
    max_size=counts,
)

WHOLE = Keep(
    last=3,
    every=1000,
    within="7d",
    best={"min:val_loss": 2, "max:acc": 1},
    milestones=[5000, 100],
    tags="release-*",
    optimizer=1,
    max_size="200GB",
)
TOML = """\
last = 3
every = 1000
within = "7d"
milestones = [100, 5000]
tags = ["release-*"]
optimizer = 1
max_size = "200GB"

[best]
"min:val_loss" = 2
"max:acc" = 1
"""


def test_the_same_policy_in_other_words() -> None:
    assert Keep(within="1w", best="min:loss", milestones=7, tags="a", max_size="1kB") == Keep(
        within=datetime.timedelta(days=7), best=["min:loss"], milestones=(7, 7), tags=("a",), max_size=1000
    )
    assert Keep(last=np.int64(3)) == Keep(last=3)
    assert hash(Keep(best={"min:a": 1})) == hash(Keep(best="min:a"))


def test_it_is_data() -> None:
    assert WHOLE.to_toml() == TOML
    assert Keep.from_toml(TOML) == WHOLE
    assert Keep.from_toml("") == Keep()
    assert Keep.from_toml('best = "min:loss"\nmax_size = 5') == Keep(best="min:loss", max_size=5)
    assert pickle.loads(pickle.dumps(WHOLE)) == WHOLE


@given(policies)
def test_toml_gives_every_policy_back(policy: Keep) -> None:
    assert Keep.from_toml(policy.to_toml()) == policy


def test_it_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keep.toml").write_text(TOML)
    assert Keep.from_toml(tmp_path / "keep.toml") == WHOLE


def test_it_explains_itself() -> None:
    assert WHOLE.explain() == (
        "the newest 3 healthy commits of each branch",
        "steps that are multiples of 1000",
        "commits younger than 7d",
        "the 2 best by min:val_loss",
        "the best by max:acc",
        "steps 100, 5000",
        "tags release-*, whole",
        "optimizer parts of the newest healthy commit of each branch only",
        "at most 200GB, oldest thinned first",
    )
    assert str(Keep()) == "keep every commit"
    assert str(Keep(last=1, milestones=4)) == "keep the newest healthy commit of each branch; step 4"
    assert str(Keep(max_size=7)) == "keep every commit; at most 7B, oldest thinned first"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"last": 0}, "keep last is a whole number from 1 on, not 0"),
        ({"every": True}, "keep every is a whole number from 1 on, not True"),
        ({"optimizer": 1.0}, "keep optimizer is a whole number from 1 on, not 1.0"),
        ({"within": "soon"}, "keep within: a duration such as 90m, 12h, 7d or 2w is needed, not 'soon'"),
        ({"within": 7}, "keep within is a duration of whole seconds, such as 7d, not 7"),
        (
            {"within": datetime.timedelta(microseconds=1)},
            "keep within is a duration of whole seconds, such as 7d, not datetime.timedelta(microseconds=1)",
        ),
        ({"best": "val_loss"}, "keep best is min:METRIC or max:METRIC, not 'val_loss'"),
        ({"best": {"min:loss": 0}}, "keep best of min:loss is a whole number from 1 on, not 0"),
        ({"best": {"min:loss": None}}, "keep best of min:loss is a whole number from 1 on, not None"),
        ({"best": 3}, "keep best is a metric, a list of metrics, or counts by metric, not 3"),
        ({"best": [["min:loss"]]}, "keep best is min:METRIC or max:METRIC, not ['min:loss']"),
        ({"best": "min:\ud800"}, "keep best is min:METRIC or max:METRIC, not 'min:\\ud800'"),
        ({"milestones": "100"}, "keep milestones are steps, whole numbers, not '100'"),
        ({"milestones": [1, None]}, "keep milestones are steps, whole numbers, not [1, None]"),
        ({"tags": [""]}, "keep tags are names of tags, or globs such as 'release-*', not ['']"),
        ({"tags": 5}, "keep tags are names of tags, or globs such as 'release-*', not 5"),
        ({"max_size": "big"}, "keep max_size: a size such as 500MB, 200GB or 256MiB is needed, not 'big'"),
        ({"max_size": 0}, "keep max_size is a whole number from 1 on, not 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_made(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Keep(**wrong)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("last = ", r"^the policy is not TOML: Invalid value \(at end of document\)$"),
        ("lst = 3", "^the policy has no field 'lst'; did you mean 'last'\\?$"),
        ("zzz = 3", "^the policy has no field 'zzz'; there are last, every, within, best, milestones, tags, optimizer"),
        ("last = 'three'", "^keep last is a whole number from 1 on, not 'three'$"),
        ("[" * 2000, "^the policy is not TOML: "),
    ],
)
def test_a_text_that_is_no_policy(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        Keep.from_toml(text)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\xff", "is not UTF-8"),
        (b"#" * 70_000, "a policy of more than 65536 bytes"),
        (b"last = ", "keep.toml' is not TOML"),
        (None, "cannot read .*: No such file or directory"),
    ],
)
def test_a_file_that_is_no_policy(tmp_path: Path, data: bytes | None, complaint: str) -> None:
    if data is not None:
        (tmp_path / "keep.toml").write_bytes(data)
    with pytest.raises(InvalidInputError, match=complaint):
        Keep.from_toml(tmp_path / "keep.toml")
