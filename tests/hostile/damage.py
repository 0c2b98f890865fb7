"""What a case of a hostile corpus is: a file that must be refused with its exact error, or an odd one that is sound."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.errors import FormatError


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that must be refused: by exactly ``error``, whose text after the file's name begins with ``text``."""

    label: str
    raw: bytes
    error: type[FormatError]
    text: str


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that looks odd and is valid, with the names of its tensors in file order."""

    label: str
    raw: bytes
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderDamage:
    """A folder whose ``description`` must be refused: by exactly ``error``, whose text begins with ``text``."""

    label: str
    files: dict[str, bytes]
    description: str
    error: type[FormatError]
    text: str


@dataclass(frozen=True, slots=True)
class FolderSound:
    """A folder that looks odd and is valid, with the names of the tensors in each file that is described."""

    label: str
    files: dict[str, bytes]
    names: dict[str, tuple[str, ...]]
