"""A live training state as content."""

from __future__ import annotations

from deltackpt.content.content import Content, ContentPart
from deltackpt.skeleton.capture import capture


def state_content(state: object) -> Content:
    """A live state; its tensors are read while the commit runs and must not change until it returns."""
    return Content(tuple(ContentPart(part.name, part.skeleton, b"", part.tensors) for part in capture(state).parts))
