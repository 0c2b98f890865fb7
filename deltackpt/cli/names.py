"""Arguments that are names within a store, with what a shell can complete them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from deltackpt.cli.address import DEFAULT_REF, Address, asked, starting

if TYPE_CHECKING:
    from deltackpt.store import Store


class NameType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """Any text; completes what ``listed`` finds in the store that the command would use."""

    def __init__(self, name: str, listed: Callable[[Store, Address], list[str]]) -> None:
        self.name = name
        self._listed = listed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        ref = ctx.params.get("ref")
        address = ref if isinstance(ref, Address) else Address(DEFAULT_REF)
        return starting(asked(ctx, lambda store: self._listed(store, address), address), incomplete)


BRANCH = NameType("NAME", lambda store, address: list(store.branches()))
TAG = NameType("NAME", lambda store, address: list(store.tags()))
PART = NameType("PART", lambda store, address: [part.name for part in store.resolve(address.ref).parts if part.name])
