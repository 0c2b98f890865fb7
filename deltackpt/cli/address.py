"""Commits as the command line names them: ``REF``, or ``STORE#REF`` for one in another store."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from deltackpt.cli.discover import default_store, named_store
from deltackpt.cli.settings import Settings
from deltackpt.errors import DeltackptError, InvalidInputError

if TYPE_CHECKING:
    from deltackpt.store import Store

DEFAULT_REF = "latest"


@dataclass(frozen=True, slots=True)
class Address:
    """A ref expression and the store that it names, if it names one."""

    ref: str
    store: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """A ref holds no ``#``, a path may: the last one separates them."""
        store, mark, ref = text.rpartition("#")
        if mark and not store:
            raise InvalidInputError(f"{text!r} names no store before '#'; write STORE#REF, or the ref alone")
        return cls(ref or DEFAULT_REF, store) if mark else cls(text)


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """An argument that names a commit; completes branch and tag names of the store that the command would use."""

    name = "REF"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        return value if isinstance(value, Address) else Address.parse(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names: list[str] = [DEFAULT_REF]
        with contextlib.suppress(DeltackptError, OSError), open_store(ctx.ensure_object(Settings)) as store:
            names += [*store.branches(), *store.tags()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


REF = AddressType()


def open_store(settings: Settings, *addresses: Address | None) -> Store:
    """The one store that a command works on: named by its refs, by ``--store``, or found.

    InvalidInputError when they name different ones.
    """
    from deltackpt.cli.progress import index_progress
    from deltackpt.store import Store

    return Store(store_folder(settings, *addresses), progress=index_progress(settings))


def store_folder(settings: Settings, *addresses: Address | None) -> str:
    """The folder of that store."""
    given = [address for address in addresses if address is not None]
    named = [address.store for address in given if address.store is not None]
    # --store speaks for the refs that name no store, and for a command without refs.
    if settings.store is not None and (not given or len(named) < len(given)):
        named.append(settings.store)
    named = [named_store(path) for path in named]
    if len({os.path.realpath(path) for path in named}) > 1:
        listed = " and ".join(sorted({repr(path) for path in named}))
        raise InvalidInputError(f"one command works on one store, not on {listed}")
    return named[0] if named else default_store()
