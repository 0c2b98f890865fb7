"""Names in a store are data: a terminal must never obey them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_program import Cli

from deltackpt import Store


def test_names_from_a_store_cannot_drive_the_terminal(cli: Cli, tmp_path: Path) -> None:
    hostile = "\x1b[2J[bold red]evil\u202e\r\nname"
    with Store.init(tmp_path / ".deltackpt") as store:
        state = {"model": {hostile: np.arange(300, dtype=np.float32), "w": np.arange(3.0)}, hostile: "\x07"}
        store.commit(
            state, step=1, message=f"{hostile}\n\x1b]0;title\x07", metrics={"a\x1bb": 1.0}, meta={"k\x1b": "\x9b"}
        )
        changed = {"model": {hostile: np.arange(300, dtype=np.float32) * 2, "w": np.arange(3.0)}, hostile: "\x08"}
        store.commit(changed, step=2, meta={})
    for arguments in (["log"], ["show", "step:1"], ["diff", "main~1", "main"], ["stats"], ["show", "step:1", "--json"]):
        done = cli(*arguments)
        assert (done.code, done.err) == (0, "")
        assert all(line.isprintable() for line in done.lines), done.out
    shown = cli("show", "step:1").out
    assert r"model/\x1b[2J[bold red]evil\u202e\r\nname" in shown
    document = cli("show", "step:1", "--json").document
    assert document["tensors"][0]["name"] == f"model/{hostile}"
