"""Files that stand beside a model's weights and that Transformers needs to load it: configuration and tokenizer."""

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
_NAMES = (
    *(CONFIG, "generation_config.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
    *("tokenizer*", "vocab*", "*preprocessor_config.json", "processor_config.json", "chat_template*", "*.model"),
)
_WANTED = re.compile("|".join(map(translate, _NAMES)))


@dataclass(frozen=True, slots=True)
class FileBeside:
    """``read`` gives all of its ``size`` bytes."""

    name: str
    size: int
    read: Callable[[], bytes] = field(compare=False)


def beside_in_commit(repository: Repository, commit: Commit) -> tuple[FileBeside, ...]:
    """Those at the top of the folder that was committed; none when it was no folder."""
    files = stored_files(repository, commit)
    if files is None or not files.is_folder:
        return ()
    found = [one for one in files.entries if one.kind is EntryKind.FILE and _WANTED.match(one.path)]
    return tuple(FileBeside(one.path, files.size(one), partial(_stored, repository, files, one)) for one in found)


def _stored(repository: Repository, files: StoredFiles, one: StoredEntry) -> bytes:
    return b"".join(stored_pieces(repository, files, one))


def beside_on_disk(path: str) -> tuple[FileBeside, ...]:
    """Those at the top of the folder ``path``; none when it is no folder."""
    if not os.path.isdir(path):
        return ()
    with os.scandir(path) as entries:
        found = [entry for entry in entries if _WANTED.match(entry.name) and entry.is_file(follow_symlinks=False)]
    return tuple(FileBeside(one.name, one.stat().st_size, partial(_on_disk, one.path)) for one in found)


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
