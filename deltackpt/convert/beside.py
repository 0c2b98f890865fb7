"""Files that stand beside a model's weights and that Transformers needs to load it: configuration, tokenizer, code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from functools import partial
from typing import Any

from deltackpt.checkout.files import StoredEntry, StoredFiles, stored_files
from deltackpt.convert.held import stored_pieces
from deltackpt.errors import FormatError
from deltackpt.history.commits import Commit
from deltackpt.history.objects import EntryKind
from deltackpt.history.repository import Repository

CONFIG = "config.json"
_TEMPLATES = "additional_chat_templates"
"""A folder of its own, for tokenizers with several."""
_NAMES = (
    *(CONFIG, "generation_config.json", "*preprocessor_config.json", "processor_config.json", "*tokenizer_config.json"),
    *("tokenizer*", "vocab*", "merges.txt", "added_tokens.json", "special_tokens_map.json", "normalizer.json"),
    *("*.model", "*.spm", "*.tiktoken", "tekken.json", "bpe.codes", "dict.txt"),
    *("chat_template*", f"{_TEMPLATES}/*"),
    # A model with code of its own.
    "*.py",
)
_WANTED = re.compile("|".join(map(translate, _NAMES)))


@dataclass(frozen=True, slots=True)
class FileBeside:
    """``name`` is the file's own, or with the folder that it is in; ``read`` gives all of its ``size`` bytes."""

    name: str
    size: int
    read: Callable[[], bytes] = field(compare=False)


def beside_in_commit(repository: Repository, commit: Commit) -> tuple[FileBeside, ...]:
    """Those at the top of the folder that was committed; none when it was no folder."""
    files = stored_files(repository, commit)
    if files is None or not files.is_folder:
        return ()
    found = [one for one in files.entries if one.kind is EntryKind.FILE and _is_wanted(one.path)]
    return tuple(FileBeside(one.path, files.size(one), partial(_stored, repository, files, one)) for one in found)


def _stored(repository: Repository, files: StoredFiles, one: StoredEntry) -> bytes:
    return b"".join(stored_pieces(repository, files, one))


def beside_on_disk(path: str) -> tuple[FileBeside, ...]:
    """Those at the top of the folder ``path``; none when it is no folder."""
    if not os.path.isdir(path):
        return ()
    return tuple(
        FileBeside(f"{below}{one.name}", one.stat().st_size, partial(_on_disk, one.path))
        for below in ("", f"{_TEMPLATES}/")
        for one in _files(os.path.join(path, below))
        if _is_wanted(f"{below}{one.name}")
    )


def _files(folder: str) -> list[os.DirEntry[str]]:
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted((one for one in entries if one.is_file(follow_symlinks=False)), key=lambda one: one.name)


def _is_wanted(path: str) -> bool:
    return _WANTED.match(path) is not None and os.path.dirname(path) in ("", _TEMPLATES)


def config_in_commit(repository: Repository, commit: Commit) -> Any:
    """The model's configuration that stands beside its weights, else that of the run."""
    return _config(beside_in_commit(repository, commit), commit.config)


def config_on_disk(path: str) -> Any:
    """The model's configuration in the folder ``path``; an empty dict when there is none."""
    return _config(beside_on_disk(path), {})


def _config(files: Iterable[FileBeside], otherwise: Any) -> Any:
    raw = next((file.read() for file in files if file.name == CONFIG), None)
    if raw is None:
        return otherwise
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise FormatError(f"{CONFIG}, beside the weights, is no JSON; mend it or take it away") from None


def _on_disk(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
