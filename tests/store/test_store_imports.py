"""Light things stay light: no torch where none is needed, nothing is ever unpickled."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from patience import PATIENCE

import deltackpt
from deltackpt import Store

PACKAGE = Path(deltackpt.__file__).parent


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_deltackpt_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, deltackpt; print([m for m in ('torch', 'numpy', 'ml_dtypes', 'lmdb') if m in sys.modules])"
    assert run(code) == "[]"


def test_a_log_and_the_refs_import_no_numpy(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10, tags=["a"])
    code = """
import sys, deltackpt
store = deltackpt.Store(sys.argv[1])
assert [c.step for c in store.log("main")] == [10]
assert (list(store.branches()), list(store.tags())) == (["main"], ["a"])
print([m for m in ("torch", "numpy", "ml_dtypes") if m in sys.modules])
"""
    assert run(code, store.path) == "[]"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
import deltackpt
from safetensors.numpy import load_file

path, out = sys.argv[1:]
store = deltackpt.Store(path)
store.checkout("step:10", out, part="optimizer")
assert "state/0/exp_avg" in load_file(out)
with store.reader("main") as r:
    print(r.tensor("model/emb.weight").numpy().shape)
    try:
        r.tensor("model/emb.weight")[:10]
    except deltackpt.DeltackptError as error:
        print(error)
store.delete_branch("dev")
store.gc()
assert store.verify(data=True).ok and store.stats().commits == 1
assert len(store.diff("main", "main").changed) == 0
store.commit({"numbers": {"w": np.arange(5000)}}, branch="numpy")
print(store.load("numpy")["numbers"]["w"].sum())
store.commit_path(out, branch="file")
store.checkout("file", out + ".again")
print(open(out, "rb").read() == open(out + ".again", "rb").read())
try:
    store.load("main")
except deltackpt.DeltackptError as error:
    print(error)
"""


def test_a_machine_without_torch_keeps_a_store(store: Store, tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    store.commit(trained[1], step=20, branch="dev")
    shape, rows, total, same, refusal = run(WITHOUT_TORCH, store.path, str(tmp_path / "out.safetensors")).splitlines()
    assert (shape, total, same) == ("(256, 64)", "12497500", "True")
    assert (
        rows
        == refusal
        == (
            "the state holds PyTorch tensors and torch is not installed; "
            "run pip install 'deltackpt[torch]', or check out to a safetensors file instead"
        )
    )


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("module", ["pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"])
def test_nothing_is_ever_unpickled(module: str) -> None:
    """Whoever converts to a PyTorch file asked for a pickle; it is written, and nothing reads one."""
    found = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py") if module in imported(path)}
    assert set(found) == ({"convert/pt.py"} if module == "pickle" else set())
    for path in found.values():
        used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if is_of(node, module)}
        assert used == {"Pickler"}


def is_of(node: ast.AST, module: str) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module


def test_torch_is_never_asked_to_load_and_saves_only_where_a_file_of_that_form_is_wanted() -> None:
    sources = {path: path.read_text() for path in PACKAGE.rglob("*.py") if "demo" not in path.parts}
    assert not [path for path, source in sources.items() if "torch.load(" in source]
    # A Trainer resumes from such a file.
    saving = {path.relative_to(PACKAGE).as_posix(): source.count("torch.save(") for path, source in sources.items()}
    assert {path: count for path, count in saving.items() if count} == {"integrations/hf_trainer.py": 1}
