"""What can go wrong, grouped by what the caller would do about it.

Every error that leaves the package is a :class:`DeltackptError`. Its text is one line: *what, where,
what next*. The specific classes stand beside the code that raises them and derive from one of these.
"""

from __future__ import annotations

_BRIEF = 80


def brief(value: object) -> str:
    """``repr`` of whatever a caller passed, on one line and not too long for an error."""
    if isinstance(value, str | bytes | bytearray):
        value = value[: _BRIEF + 1]
    try:
        text = " ".join(repr(value).split())
    except ValueError:
        # Python does not write out integers of thousands of digits.
        text = f"<{type(value).__name__} too long to show>"
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 3]}..."


class DeltackptError(Exception):
    """Base of every error raised on purpose by this package.

    ``code`` is a stable word for machine-readable reports; ``exit_code`` is what the command line
    returns (the table stands in ``docs/cli.md``).
    """

    code = "E_ERROR"
    exit_code = 1


class InvalidInputError(DeltackptError, ValueError):
    """The caller passed something that cannot be stored or does not make sense. Change the call."""

    code = "E_INPUT"
    exit_code = 2


class NotFoundError(DeltackptError, KeyError):
    """A ref, commit, part, tensor, chunk or store that does not exist. Look at the near matches."""

    code = "E_NOT_FOUND"
    exit_code = 3

    def __str__(self) -> str:
        # KeyError prints the repr of its argument; an error here is a sentence.
        return Exception.__str__(self)


class ConflictError(DeltackptError):
    """Somebody else published first. Look at both commits, then retry or rebase."""

    code = "E_CONFLICT"
    exit_code = 4


class CorruptError(DeltackptError):
    """Stored bytes do not match their checksum or hash. Run ``deltackpt verify``."""

    code = "E_CORRUPT"
    exit_code = 5


class FormatError(DeltackptError):
    """A file that is not what it says it is. Get a good copy of the file."""

    code = "E_FORMAT"
    exit_code = 6


class LimitError(FormatError):
    """A file or a value beyond a stated limit; the text gives the limit and the value."""

    code = "E_LIMIT"


class UnsafeError(FormatError):
    """A file that would escape a folder or run code if it were obeyed."""

    code = "E_UNSAFE"


class UnsupportedError(FormatError):
    """Written by a newer release, or of a kind that this release does not know. Upgrade."""

    code = "E_UNSUPPORTED"
    exit_code = 7


class StorageError(DeltackptError):
    """The file system refused: full, read-only, an I/O error. The store is as it was before."""

    code = "E_STORAGE"
    exit_code = 8


class LockedError(DeltackptError):
    """Another process holds what is needed for longer than we were willing to wait."""

    code = "E_LOCKED"
    exit_code = 9


def public_kind(error: DeltackptError) -> str:
    """The name of the class here that an error is of: what travels to another process, which raises it again."""
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == __name__)
