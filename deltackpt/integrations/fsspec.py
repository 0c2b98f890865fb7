"""fsspec: ``deltackpt://STORE@REF/PATH``, any commit as files, and a folder that is written as a commit.

The first ``@`` ends the store's path and the next ``/`` the ref, so ``@`` in the one and ``/`` in the other are
percent-encoded, and so is ``%``. Without ``@`` all is the store's path, and the ref is its default branch.
What stands in a commit is said in :mod:`deltackpt.checkout.tree`.
"""

from __future__ import annotations

import datetime
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote

from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.transaction import Transaction

from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch
from deltackpt.history.resolve import DEFAULT_BRANCH
from deltackpt.store import Store
from deltackpt.training.preflight import opened

if TYPE_CHECKING:
    from deltackpt.checkout.image import Image
    from deltackpt.checkout.tree import CommitTree, Entry

_SCHEME = "deltackpt://"


class CommitTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """What is written from start to end becomes one commit on the branch; after an error nothing does.

    ``folder`` is what was written so far, on the local disk; ``commit`` is the commit that was made of it, or None.
    """

    def __init__(self, fs: DeltackptFileSystem, **kwargs: Any) -> None:
        super().__init__(fs, **kwargs)
        self.folder: DirFileSystem | None = None
        self.commit: Commit | None = None
        self._described: dict[str, Any] = {}
        self._store: Store | None = None
        self._path = ""
        self._stack = ExitStack()

    def describe(self, **described: Any) -> None:
        """``step``, ``metrics``, ``message``, ``tags``, ``config`` and so on, as :meth:`Store.commit` takes them."""
        self._described.update(described)

    def start(self) -> None:
        """Begin with an empty folder; the store is made when there is none. InvalidInputError when ref is no branch."""
        Branch(self.fs.ref)
        self._store = opened(self.fs.store)
        self._path = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="deltackpt-", dir=self.fs.staging))
        # What the folder is called is kept in the commit, so it has a name that stays.
        self._path = os.path.join(self._path, "checkpoint")
        os.mkdir(self._path)
        self.folder = DirFileSystem(self._path, LocalFileSystem(auto_mkdir=True, skip_instance_cache=True))
        super().start()

    def complete(self, commit: bool = True) -> None:
        """Close what is open and commit the folder, unless it is empty or ``commit`` is false."""
        fs, self.folder = self.fs, None
        try:
            with self._stack:
                while self.files:
                    self.files.popleft().close()
                if commit and os.listdir(self._path):
                    assert self._store is not None
                    self.commit = self._store.commit_path(self._path, branch=fs.ref, **self._described)
        finally:
            fs._intrans, fs._transaction = False, None


class DeltackptFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The files of one commit of one store: of ``ref`` as it is when it is asked for, or of the branch being written.

    Writing is for transactions: ``with fs.transaction as t``. Within one, everything here is about the folder that is
    being written, which begins empty and lies below ``staging`` (the system's folder for temporary files).
    """

    protocol: ClassVar[str] = "deltackpt"
    root_marker: ClassVar[str] = "/"
    transaction_type: ClassVar[type[Transaction]] = CommitTransaction

    def __init__(
        self, store: str | os.PathLike[str], ref: str = DEFAULT_BRANCH, *, staging: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.store = os.path.abspath(os.fspath(store))
        self.ref = ref
        self.staging = staging
        self._newest: CommitTree | None = None
        # fsspec strips by the class, which would take a file of any other commit for one of this.
        self._strip_protocol = self._own_path  # type: ignore[method-assign]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The path within the commit, from ``/`` on."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = os.fspath(path)
        return "/" + (_parsed(text)[2] if text.startswith(_SCHEME) else text).strip("/")

    def _own_path(self, path: Any) -> Any:
        """The same, from a path or a URL of this store and ref. InvalidInputError for a URL of another."""
        for one in path if isinstance(path, list) else [path]:
            text = os.fspath(one)
            if text.startswith(_SCHEME) and self._get_kwargs_from_urls(text) != {"store": self.store, "ref": self.ref}:
                raise InvalidInputError(f"{text!r} is not of {self._where}; open it by its whole URL")
        return type(self)._strip_protocol(path)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        # Absolute, because file systems are cached by it, whatever the working directory is later.
        store, ref, _ = _parsed(path)
        return {"store": os.path.abspath(store), "ref": ref}

    def unstrip_protocol(self, name: str) -> str:
        return f"{self._where}{self._strip_protocol(name).rstrip('/')}"

    def start_transaction(self) -> CommitTransaction:
        """Begin what ``end_transaction`` commits."""
        made: CommitTransaction = self.transaction
        made.start()
        return made

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        inner = self._inner(path)
        if (folder := self._folder) is not None:
            found = [_rooted(one) for one in folder.ls(inner, detail=True)]
        else:
            with _missing(path):
                tree = self._tree()
                at = tree.entry(inner)
                found = [_as_info(one) for one in (tree.children(inner) if at.kind == "directory" else [at])]
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        if (folder := self._folder) is not None:
            return _rooted(folder.info(self._inner(path)))
        with _missing(path):
            return _as_info(self._tree().entry(self._inner(path)))

    def created(self, path: str) -> datetime.datetime:
        if (folder := self._folder) is not None:
            staged: datetime.datetime = folder.created(self._inner(path))
            return staged
        with _missing(path):
            return self._tree().commit.time

    def modified(self, path: str) -> datetime.datetime:
        if (folder := self._folder) is not None:
            staged: datetime.datetime = folder.modified(self._inner(path))
            return staged
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], datetime.UTC)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        self._written(path).mkdir(self._inner(path), create_parents=create_parents, **kwargs)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._written(path).makedirs(self._inner(path), exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        self._written(path).rmdir(self._inner(path))

    def rm_file(self, path: str) -> None:
        self._written(path).rm_file(self._inner(path))

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for one in path if isinstance(path, list) else [path]:
            self._written(one).rm(self._inner(one), recursive=recursive, maxdepth=maxdepth)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._written(path2).cp_file(self._inner(path1), self._inner(path2), **kwargs)

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **kwargs: Any) -> Any:
        if (folder := self._folder) is not None:
            return folder.open(self._inner(path), mode, block_size=block_size)
        if mode != "rb":
            return self._written(path)
        with _missing(path):
            image = self._tree().image(self._inner(path))
        kwargs.pop("autocommit", None)
        return _StoredFile(self, path, image, block_size or "default", **kwargs)

    @property
    def _where(self) -> str:
        return f"{_SCHEME}{quote(self.store, safe='/')}@{quote(self.ref, safe=':@~^')}"

    @property
    def _folder(self) -> DirFileSystem | None:
        return self._transaction.folder if self._intrans and self._transaction is not None else None

    def _written(self, path: Any) -> DirFileSystem:
        """The folder that is being written."""
        if (folder := self._folder) is not None:
            return folder
        raise InvalidInputError(
            f"{path!r} of {self._where} cannot be changed: commits stay as they are;"
            " write a new one within `with fs.transaction:`; frameworks that write file by file have a plugin of their"
            " own, such as deltackpt.integrations.lightning.DeltackptIO"
        )

    def _inner(self, path: str) -> str:
        """The path as a tree and a folder have it."""
        inner: str = self._strip_protocol(path).strip("/")
        return inner

    def _tree(self) -> CommitTree:
        commit = self._opened.resolve(self.ref)
        if self._newest is None or self._newest.commit.id != commit.id:
            self._newest = self._opened.tree(commit)
        return self._newest

    @cached_property
    def _opened(self) -> Store:
        return Store(self.store)


class _StoredFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file as it was when it was opened, whatever is committed to its branch meanwhile."""

    def __init__(self, fs: DeltackptFileSystem, path: str, image: Image, block_size: Any, **options: Any) -> None:
        self._image = image
        super().__init__(fs, path, "rb", block_size, size=image.size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._image.read(start, end)


def _parsed(url: str) -> tuple[str, str, str]:
    """Store, ref and path of a URL. InvalidInputError when it names no store."""
    text = url.removeprefix(_SCHEME)
    store, mark, rest = text.partition("@")
    ref, _, path = rest.partition("/")
    if not store or (mark and not ref):
        raise InvalidInputError(
            f"{url!r} names no {'ref after @' if store else 'store'}; write {_SCHEME}STORE@REF/PATH"
        )
    return unquote(store), unquote(ref) or DEFAULT_BRANCH, path


def _as_info(entry: Entry) -> dict[str, Any]:
    size = 0 if entry.open is None else entry.open().size
    return {"name": f"/{entry.path}", "type": entry.kind, "size": size, "mtime": entry.mtime_ns / 1e9}


def _rooted(info: dict[str, Any]) -> dict[str, Any]:
    return {**info, "name": "/" + info["name"].strip("/")}


@contextmanager
def _missing(path: str) -> Iterator[None]:
    """What is not there is a FileNotFoundError to whoever uses file systems."""
    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error
