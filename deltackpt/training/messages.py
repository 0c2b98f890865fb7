"""What a trainer says to the process that writes for it."""

from __future__ import annotations

import msgspec

from deltackpt.training.job import Job, Opening


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker."""

    opening: Opening


class NewBuffer(msgspec.Struct, frozen=True, tag=True):
    """A memory file, whose descriptor comes with the message, takes the place of the buffer of that number."""

    number: int
    size: int


class Work(msgspec.Struct, frozen=True, tag=True):
    """A job."""

    job: Job


class Tidy(msgspec.Struct, frozen=True, tag=True):
    """Apply the policy once more, whatever that takes; answered by a note, which may be empty."""


Message = Hello | NewBuffer | Work | Tidy
