"""Commits as the command line names them: ``REF``, or ``STORE#REF`` for one in another store."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
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
_RANGE_IN_ONE_STORE = re.compile(r"(.+)#([^#]*\.\.)\1#([^#]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A ref expression and the store that it names, if it names one."""

    ref: str
    store: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """A ref holds no ``#``, a path may: the last one separates them. Both ends of a range may name the store."""
        if within := _RANGE_IN_ONE_STORE.fullmatch(text):
            return cls(within[2] + within[3], within[1])
        store, mark, ref = text.rpartition("#")
        if mark and not store:
            raise InvalidInputError(f"{text!r} names no store before '#'; write STORE#REF, or the ref alone")
        return cls(ref or DEFAULT_REF, store) if mark else cls(text)


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """An argument that names a commit; completes names of the store that it names, or that the command would use."""

    name = "REF"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        return value if isinstance(value, Address) else Address.parse(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        named, mark, _ = incomplete.rpartition("#")
        address = Address(DEFAULT_REF, named) if named else None
        names = [DEFAULT_REF, *asked(ctx, lambda store: [*store.branches(), *store.tags()], address)]
        return starting([named + mark + name for name in names], incomplete)


REF = AddressType()


def asked(ctx: click.Context, question: Callable[[Store], list[str]], address: Address | None = None) -> list[str]:
    """What the store that a command would use answers, for completion: nothing where there is none."""
    with contextlib.suppress(DeltackptError, OSError), open_store(ctx.ensure_object(Settings), address) as store:
        return question(store)
    return []


def starting(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """The candidates among ``names``."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def open_store(settings: Settings, *addresses: Address | None) -> Store:
    """The one store that a command works on: named by its refs, by ``--store``, or found.

    InvalidInputError when they name different ones.
    """
    return _opened(settings, store_folder(settings, *addresses))


@contextlib.contextmanager
def open_stores(settings: Settings, old: Address, new: Address) -> Iterator[tuple[Store, Store]]:
    """The stores of two refs, which may be one; ``--store`` speaks for a ref that names none."""
    folders = [_folder_of(settings, address) for address in (old, new)]
    with _opened(settings, folders[0]) as store:
        if os.path.realpath(folders[0]) == os.path.realpath(folders[1]):
            yield store, store
            return
        with _opened(settings, folders[1]) as other:
            yield store, other


def _opened(settings: Settings, folder: str) -> Store:
    from deltackpt.cli.progress import index_progress
    from deltackpt.store import Store

    return Store(folder, progress=index_progress(settings))


def store_folder(settings: Settings, *addresses: Address | None) -> str:
    """The folder of the one store that a command works on."""
    folders = [_folder_of(settings, address) for address in addresses if address is not None]
    if settings.store is not None or not folders:
        folders.append(_folder_of(settings, None))
    if len({os.path.realpath(path) for path in folders}) > 1:
        listed = " and ".join(sorted({repr(path) for path in folders}))
        raise InvalidInputError(f"this command works on one store, not on {listed}")
    return folders[0]


def _folder_of(settings: Settings, address: Address | None) -> str:
    """The store that a ref names; for one that names none, ``--store``, or the store that is found."""
    told = address.store if address is not None and address.store is not None else settings.store
    return named_store(told) if told is not None else default_store()
