"""The store as its users see it: each method is a few lines into the modules below."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deltackpt.chunkstore import facts
from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import InvalidInputError
from deltackpt.fs.disk import Disk, ReadOnlyError
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch, Tag
from deltackpt.history.repository import Options, Repository
from deltackpt.history.resolve import DEFAULT_BRANCH
from deltackpt.ids import CommitId

if TYPE_CHECKING:
    from deltackpt.adoption.adopt import Adopted
    from deltackpt.adoption.found import FoundCheckpoint
    from deltackpt.adoption.leftovers import Settled
    from deltackpt.checkout.export import Names
    from deltackpt.checkout.files import TypedBytes
    from deltackpt.checkout.lazy import Reader
    from deltackpt.checkout.tree import CommitTree
    from deltackpt.commit.request import CommitRequest, OnConflict
    from deltackpt.content.content import Content
    from deltackpt.convert.convert import Conversion
    from deltackpt.diff.diff import Diff, Side
    from deltackpt.fs.file_set import FileSet
    from deltackpt.history.oplog import Operation
    from deltackpt.history.recoverable import Recoverable
    from deltackpt.history.selection import Compared
    from deltackpt.maintenance.doctor.checkup import Checkup
    from deltackpt.maintenance.gc import GcPlan
    from deltackpt.maintenance.inventory import InventoryRow
    from deltackpt.maintenance.keep import Keep
    from deltackpt.maintenance.parity.protect import Protection
    from deltackpt.maintenance.prune import PrunePlan
    from deltackpt.maintenance.repack.repack import RepackReport
    from deltackpt.maintenance.repair.plan import RepairPlan
    from deltackpt.maintenance.stats import Stats
    from deltackpt.maintenance.verify.completeness import Completeness
    from deltackpt.maintenance.verify.file import FileCheck
    from deltackpt.maintenance.verify.report import Report

Ref = str | Commit | CommitId
Progress = Callable[[int], None]


def _folder(path: str | bytes | os.PathLike[str]) -> str:
    folder = os.path.expanduser(os.fsdecode(path))
    if "\0" in folder:
        raise InvalidInputError(f"{folder!r} cannot be a folder: a path cannot hold a NUL character")
    return folder


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


class Store:
    """A store of checkpoints in the folder ``path``.

    Open it as often as you like, in as many threads, processes and hosts: every call sees the newest state.
    ``options`` tune speed and memory; ``progress`` hears (done, total) while a lost index is built again. A context
    manager; closing gives back threads and open files.

    Wherever a method takes a *ref*, it takes a branch, a tag, a commit id or a unique prefix of one, ``latest``,
    ``step:1000``, ``min:val_loss``, ``max:accuracy``, any of the last three on another branch (``dev@step:1000``), all
    with ``~n`` for the n-th parent, or a :class:`Commit`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        options: Options | None = None,
        progress: Callable[[int, int], None] = _silent,
    ) -> None:
        self._repository = Repository(_folder(path), options or Options(), progress)

    @classmethod
    def init(
        cls, path: str | os.PathLike[str], *, options: Options | None = None, reserve: int | str | None = None
    ) -> Self:
        """Make a new store in ``path``, which may exist as long as it holds no store, and open it.

        ``reserve`` is the room, in bytes or a text such as "256MiB", that is kept for deleting on a full disk: 64 MiB,
        or less on a small disk, unless told otherwise; 0 keeps none. DiskFullError when there is no room for it.
        """
        from deltackpt.maintenance.quantity import parse_size

        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        room = parse_size(reserve) if isinstance(reserve, str) else reserve
        if room is not None and room < 0:
            raise InvalidInputError(f"the reserve is a number of bytes from 0 on, not {room}")
        facts.create(Disk(), Layout(os.path.abspath(_folder(path))), created, room)
        return cls(path, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.path!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "options": self._repository.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy in another process opens the store anew: threads and maps do not travel.
        self.__init__(state["path"], options=state["options"])  # type: ignore[misc]

    def close(self) -> None:
        """Give back threads and open files; the store can still be used and takes them again when needed."""
        self._repository.close()

    @property
    def path(self) -> str:
        """Absolute path of the store's folder."""
        return self._repository.chunks.layout.root

    @property
    def index_path(self) -> str:
        """Where the index lives: in the store, or on this machine for a store on a network share."""
        return self._repository.chunks.index.folder

    # Writing

    def commit(
        self,
        state: Any,
        *,
        step: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        message: str = "",
        branch: str = DEFAULT_BRANCH,
        tags: str | Sequence[str] | None = None,
        parent: Ref | None = None,
        base: Ref | None = None,
        config: Any = None,
        meta: Any = None,
        on_conflict: OnConflict = "fail",
        progress: Progress | None = None,
    ) -> Commit:
        """Store a training state; returns once it is durable.

        ``state`` is any nesting of dicts, lists, tensors, arrays and plain values; it must not change until
        this returns. A ``pathlib.Path`` is a file or folder, see :meth:`commit_path`. ``metrics`` are numbers by name.
        ``config`` and ``meta`` are plain data, shown by ``diff`` and ``show``. The parent is the branch's head unless
        ``parent`` names another commit, which rewinds the branch: then ``step`` may be any, while along a branch it
        only grows. Tensors that the parent lacks are stored against like ones of ``base``, or of any branch's head.

        InvalidInputError names what cannot be stored, by its path in the state. ConflictError when another
        commit came first to the branch, unless ``on_conflict="rebase"``. StorageError when the disk refuses.
        Whatever is raised, the store is as it was. ``progress`` hears of bytes as they are read, from several threads.
        """
        from deltackpt.commit.request import CommitRequest

        request = CommitRequest.checked(
            step=step,
            metrics=metrics,
            message=message,
            branch=branch,
            tags=tags,
            parent=self._parent(parent),
            base=self._parent(base),
            config=config,
            meta=meta,
            on_conflict=on_conflict,
        )
        if isinstance(state, os.PathLike):
            return self._commit_path(state, request, strict=False, progress=progress)
        from deltackpt.content.state import state_content

        return self._commit(state_content(state), request, progress)

    def commit_path(
        self,
        path: str | os.PathLike[str],
        *,
        strict: bool = False,
        progress: Progress | None = None,
        **described: Any,
    ) -> Commit:
        """Store a checkpoint file or folder as it is, without loading it; checking it out gives the same again.

        Takes the keyword arguments of :meth:`commit`. What is damaged is kept as plain bytes, with a warning in the log
        (``logging``, "deltackpt"); with ``strict`` that is a FormatError. ``progress`` hears of bytes as they are read,
        from several threads. InvalidInputError names what cannot be committed, such as a socket, and a file that
        changed while it was read.
        """
        from deltackpt.commit.request import CommitRequest

        refs = {name: self._parent(described.get(name)) for name in ("parent", "base")}
        request = CommitRequest.checked(**{**described, **refs})
        return self._commit_path(path, request, strict=strict, progress=progress)

    def adopt(
        self,
        checkpoints: Sequence[FoundCheckpoint],
        *,
        branch: str = DEFAULT_BRANCH,
        remove_originals: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[Adopted]:
        """Commit checkpoints that ``find_checkpoints`` found, in their order, but for those that the branch has.

        Each is compared with what was stored, byte for byte; only then, and if told so, is it removed. One that the
        branch has, and that is to stay, is compared by sizes, modes and times alone if these are the same. CorruptError
        names the first difference. InvalidInputError, before anything is written, when the branch has reached the step
        of one that it does not have. ``progress`` hears of bytes that are done, half of each when it is stored and half
        when it is compared. The rest as in :meth:`commit_path`.
        """
        from deltackpt.adoption.adopt import ORIGIN, adopt
        from deltackpt.commit.request import CommitRequest

        def halfway(count: int) -> None:
            if progress is not None:
                progress(count // 2)

        def commit(one: FoundCheckpoint) -> Commit:
            meta = {ORIGIN: one.origin}
            request = CommitRequest.checked(step=one.step, metrics=one.metrics, branch=branch, meta=meta)
            return self._commit_path(one.place.where, request, strict=False, progress=halfway)

        return adopt(self._repository, checkpoints, branch, commit, remove=remove_originals, progress=halfway)

    def imported(self, branch: str = DEFAULT_BRANCH) -> dict[str, Commit]:
        """The commits of a branch that :meth:`adopt` made, by the absolute path of each checkpoint."""
        from deltackpt.adoption.adopt import imported

        return imported(self._repository, branch)

    def settle_removals(self, branch: str = DEFAULT_BRANCH) -> list[Settled]:
        """Finish removals that were interrupted, of what :meth:`adopt` committed to a branch.

        What is still as its commit holds it goes, everything else goes back to its place.
        """
        from deltackpt.adoption.leftovers import settle

        return list(settle(self._repository, self.imported(branch)))

    def branch(self, name: str, ref: Ref = DEFAULT_BRANCH, *, force: bool = False) -> None:
        """Begin a branch at ``ref``; ``force`` moves one that exists."""
        from deltackpt.history.pointers import set_ref

        set_ref(self._repository, Branch(name), self.resolve(ref), force=force)

    def tag(self, name: str, ref: Ref = DEFAULT_BRANCH, *, force: bool = False) -> None:
        """Name the commit at ``ref`` for good; ``force`` moves a tag that exists."""
        from deltackpt.history.pointers import set_ref

        set_ref(self._repository, Tag(name), self.resolve(ref), force=force)

    def delete_branch(self, name: str) -> None:
        """Remove a branch; commits that nothing else reaches stay until ``gc``."""
        from deltackpt.history.pointers import delete_ref

        delete_ref(self._repository, Branch(name))

    def delete_tag(self, name: str) -> None:
        """Remove a tag; commits that nothing else reaches stay until ``gc``."""
        from deltackpt.history.pointers import delete_ref

        delete_ref(self._repository, Tag(name))

    def annotate(self, ref: Ref, metrics: Mapping[str, Any]) -> Commit:
        """Add metrics that were found after the commit was made; returns it with them. They count like its own."""
        from deltackpt.commit.request import numbers_by_name
        from deltackpt.history.annotate import annotate

        commit = self.resolve(ref)
        annotate(self._repository, commit, numbers_by_name(metrics))
        return self.resolve(commit)

    # Reading

    def resolve(self, ref: Ref) -> Commit:
        """The commit that ``ref`` names; NotFoundError with near matches, or InvalidInputError when ambiguous."""
        return self._repository.resolve(ref)

    def log(self, ref: Ref | None = None) -> Iterator[Commit]:
        """``ref`` and its first parents, newest first; without a ref every commit of the store, newest first."""
        if ref is None:
            return reversed(self._repository.look(lambda history: list(history.everything())))
        start = self.resolve(ref)
        return iter(self._repository.look(lambda history: list(history.line(start.id))))

    def branches(self) -> dict[str, Commit]:
        """Every branch with the commit at its head."""
        from deltackpt.history.pointers import list_refs

        return list_refs(self._repository, Branch)

    def tags(self) -> dict[str, Commit]:
        """Every tag with its commit."""
        from deltackpt.history.pointers import list_refs

        return list_refs(self._repository, Tag)

    def load(
        self,
        ref: Ref,
        *,
        select: str | None = None,
        part: str | None = None,
        device: Any = None,
        progress: Progress | None = None,
    ) -> Any:
        """The state that was committed: the same nesting, types and bits, on the CPU unless ``device`` says otherwise.

        ``part`` gives that part's object itself. ``select`` is a glob over full names (``model/*``): entries of dicts
        under which nothing is selected are left out, other elements become None. ``progress`` hears of plain bytes.
        """
        from deltackpt.checkout.load import load

        commit = self.resolve(ref)
        return load(self._repository, commit, select=select, part=part, device=device, progress=progress)

    def load_into(
        self,
        target: Any,
        ref: Ref,
        *,
        part: str | None = None,
        strict: bool = True,
        progress: Progress | None = None,
    ) -> list[str]:
        """Overwrite the tensors within ``target`` in place; returns the names of those replaced.

        Each is verified before it is copied, in memory for the largest of them. PairingError lists what does not fit
        before anything changes. ``progress`` hears of plain bytes.
        """
        from deltackpt.checkout.load_into import load_into

        commit = self.resolve(ref)
        return load_into(self._repository, target, commit, part=part, strict=strict, progress=progress)

    def reader(self, ref: Ref) -> Reader:
        """Single tensors of a commit, or rows of one, read on demand."""
        from deltackpt.checkout.lazy import Reader

        return Reader(self._repository, self.resolve(ref))

    def tree(self, ref: Ref) -> CommitTree:
        """A commit as a tree of files, read on demand: those that were committed, and every tensor as one."""
        from deltackpt.checkout.tree import CommitTree

        return CommitTree(self._repository, self.resolve(ref))

    def file_names(self, template: str, commits: Iterable[Commit]) -> list[tuple[str, Commit]]:
        """Each commit with ``template`` filled in for it: ``step_{step}_loss_{val_loss:.4f}.safetensors``.

        Known are ``{step}``, ``{branch}``, ``{commit}``, ``{name}`` (of the file or folder that was committed) and
        metrics by name; what follows a colon is Python's format. InvalidInputError names the commits that lack one.
        """
        from deltackpt.checkout.template import filled_for

        return filled_for(self._repository, template, commits)

    def checkout(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        *,
        part: str | None = None,
        names: Names = "module",
        force: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Write a commit to a file; returns its size.

        A commit made from a file gives the same bytes again. A state becomes safetensors: with ``part`` that
        part under the module's own names, ready for ``load_state_dict``; else everything under full names. With
        ``names="stored"`` nothing that wrappers put before names is removed.
        An existing file is refused unless ``force``; the file appears complete or not at all.
        """
        from deltackpt.checkout.export import checkout

        commit, target = self.resolve(ref), os.fsdecode(path)
        return checkout(self._repository, commit, target, part=part, names=names, force=force, progress=progress)

    def export(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        conversion: Conversion,
        *,
        part: str | None = None,
        names: Names = "module",
        force: bool = False,
    ) -> int:
        """Write the tensors of a commit, or of one ``part``, in another format; returns the bytes written.

        One tensor is in memory at a time. InvalidInputError for what the format cannot hold; nothing is written then.
        """
        from deltackpt.convert.convert import convert_commit

        commit, target = self.resolve(ref), os.fsdecode(path)
        return convert_commit(self._repository, commit, target, conversion, part=part, names=names, force=force)

    def diff(self, old: Ref, new: Ref, *, other: Store | None = None, progress: Progress | None = None) -> Diff:
        """What changed from ``old`` to ``new``, which is a commit of the store ``other`` when that is given."""
        from deltackpt.diff.diff import diff

        return diff(self._side(old), (other or self)._side(new), progress)

    def diff_bytes(self, old: Ref, new: Ref, *, other: Store | None = None) -> int:
        """Plain bytes that :meth:`diff` compares: what its ``progress`` counts to."""
        from deltackpt.diff.diff import changed_bytes

        return changed_bytes(self._side(old), (other or self)._side(new))

    # Choosing

    def best(self, goal: str, ref: Ref | None = None) -> Commit:
        """The best commit by ``goal`` (``min:val_loss``, ``max:accuracy``) of the store, or of the line of ``ref``.

        NotFoundError lists the metrics there are when no commit has that one.
        """
        from deltackpt.history.selection import Goal, best

        return best(self.log(ref), Goal.parse(goal))

    def compare(self, refs: Iterable[Ref], metric: str) -> list[Compared]:
        """The value of ``metric`` in each commit, with its difference to that of the first."""
        from deltackpt.history.selection import compare

        return compare([self.resolve(ref) for ref in refs], metric)

    def load_many(self, refs: Iterable[Ref], *, part: str | None = None, device: Any = None) -> Iterator[Any]:
        """The states of several commits, as :meth:`load` gives them, each loaded when it is asked for.

        All refs are looked up first, so a ref that is wrong is known before anything is loaded.
        """
        commits = [self.resolve(ref) for ref in refs]
        return (self.load(commit, part=part, device=device) for commit in commits)

    def average(
        self,
        refs: Iterable[Ref],
        branch: str,
        *,
        weights: Sequence[float] | None = None,
        decay: float | None = None,
        part: str | None = None,
        step: int | None = None,
        message: str = "",
    ) -> Commit:
        """Commit the average of the models in ``refs`` to ``branch``; returns once it is durable.

        A ref may be a range ``OLD..NEW``: the commits of NEW's line from OLD on. All count the same, or by ``weights``,
        or as an exponential moving average with ``decay``, in their order. ``part`` is the one to average. Floats are
        summed in float64, all else is the last one's; ``step`` is, too, unless it is given. A new branch begins at it.

        MismatchError, an InvalidInputError, lists tensors whose names, types or shapes differ.
        """
        from deltackpt.average.average import average
        from deltackpt.commit.request import CommitRequest

        made = average(self._repository, self._commits(refs), weights=weights, decay=decay, part=part)
        request = CommitRequest.checked(
            step=made.last.step if step is None else step,
            message=message or f"average of {len(made.commits)} commits",
            branch=branch,
            parent=None if branch in self.branches() else made.last,
            meta=made.meta(),
        )
        return self._commit(made.content(), request, None)

    def average_to_file(
        self,
        refs: Iterable[Ref],
        path: str | os.PathLike[str],
        *,
        weights: Sequence[float] | None = None,
        decay: float | None = None,
        part: str | None = None,
        force: bool = False,
    ) -> int:
        """Write the average of the models in ``refs``, as in :meth:`average`, to a file; returns its size.

        The file has the form that was committed; of a state it is safetensors, ready for ``load_state_dict``.
        """
        from deltackpt.average.average import average
        from deltackpt.average.to_file import write

        made = average(self._repository, self._commits(refs), weights=weights, decay=decay, part=part)
        return write(made, os.fspath(path), force=force)

    # Keeping

    def stats(self, *, progress: Progress | None = None) -> Stats:
        """The savings report. ``progress`` hears of the plain bytes of commits as they are looked at."""
        from deltackpt.maintenance.stats import stats

        return stats(self._repository, progress)

    def inventory(self, ref: Ref) -> list[InventoryRow]:
        """Every tensor of a commit: its form, what it occupies, and how it is kept."""
        from deltackpt.maintenance.inventory import inventory

        return inventory(self._repository, self.resolve(ref))

    def typed_bytes(self, ref: Ref) -> TypedBytes | None:
        """How much of the files that a commit was made from is typed as tensors; None for that of a live state."""
        from deltackpt.checkout.files import stored_files

        files = stored_files(self._repository, self.resolve(ref))
        return None if files is None else files.typed_bytes()

    def delete(self, ref: Ref) -> Commit:
        """Delete the commit at ``ref``, which no branch or tag may point to; :meth:`undelete` works until ``gc``."""
        from deltackpt.history.deletion import delete

        commit = self.resolve(ref)
        delete(self._repository, [commit])
        return commit

    def undelete(self, commit: CommitId | str) -> Commit:
        """Bring back a deleted or thinned commit by its id or a unique prefix of it, unless a ``gc`` came first."""
        from deltackpt.history.deletion import undelete

        return self.resolve(undelete(self._repository, str(commit)))

    def recoverable(self) -> list[Recoverable]:
        """Commits and parts that were deleted, or that nothing names any more, and can be brought back until ``gc``."""
        from deltackpt.history.recoverable import recoverable

        return recoverable(self._repository)

    @property
    def policy(self) -> Keep | None:
        """What the store is to keep, from ``keep.toml`` in its folder; None while it has none. Can be set."""
        from deltackpt.maintenance.policy import read_policy

        return read_policy(self._repository.chunks)

    @policy.setter
    def policy(self, keep: Keep) -> None:
        from deltackpt.maintenance.policy import write_policy

        write_policy(self._repository.chunks, keep)

    def prune(
        self, keep: Keep | None = None, *, dry_run: bool = False, branches: Sequence[str] | None = None
    ) -> PrunePlan:
        """Delete every commit that ``keep`` does not keep, and thin those of which it keeps only weights.

        Without ``keep`` the store's :attr:`policy` is meant. With ``branches`` only those are looked at, and what
        is on any other stays. The plan says why each commit stays and exactly how many bytes a ``gc`` frees then.
        """
        from deltackpt.maintenance.policy import the_policy
        from deltackpt.maintenance.prune import prune

        chosen = the_policy(self._repository.chunks) if keep is None else keep
        return prune(self._repository, chosen, dry_run=dry_run, branches=branches)

    def oplog(self) -> Iterator[Operation]:
        """Everything that was ever published, newest first."""
        from deltackpt.history.oplog import operations

        return operations(self._repository)

    def undo(self, number: int | None = None) -> Operation:
        """Take back an operation by its number in the oplog, or the newest one; works until a ``gc``."""
        from deltackpt.history.oplog import undo

        return undo(self._repository, number)

    def gc(
        self,
        *,
        dry_run: bool = False,
        min_dead: float = 0.10,
        max_repack_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> GcPlan:
        """Free what no branch or tag reaches; safe beside writers and readers. Returns what was, or would be, done.

        A pack is rewritten when ``min_dead`` of it, from 0 to 1, is garbage; ``max_repack_bytes`` caps what is written
        for that, and a later gc goes on. ``progress`` hears (bytes written, bytes to be written).
        """
        from deltackpt.maintenance.gc import collect

        if not dry_run and not self._repository.chunks.writable:
            raise ReadOnlyError(
                f"{self.path!r} cannot be written; use --dry-run (dry_run=True) to see what gc would free"
            )
        if not 0 <= min_dead <= 1:
            raise InvalidInputError(f"min_dead is a part of 1, from 0 to 1, not {min_dead}")
        return collect(
            self._repository, dry_run=dry_run, min_dead=min_dead, max_written=max_repack_bytes, progress=progress
        )

    def repack(
        self,
        *,
        recompress: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> RepackReport:
        """Make the newest, best and tagged commits cheap to read.

        Safe beside writers and readers; runs a gc before and after, and takes room for what it writes until then. With
        ``recompress`` all that gets smaller is encoded anew.
        ``progress`` hears (plain bytes looked at, plain bytes in all).
        """
        from deltackpt.maintenance.repack.repack import repack

        if not dry_run and not self._repository.chunks.writable:
            raise ReadOnlyError(
                f"{self.path!r} cannot be written; use --dry-run (dry_run=True) to see what repack would do"
            )
        return repack(self._repository, recompress=recompress, dry_run=dry_run, progress=progress)

    def verify(
        self,
        *,
        data: bool = False,
        sample: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
        """Check the store: its structure; with ``data`` every byte; with ``sample`` a share of them, such as 0.05.

        Samples begin with what was checked longest ago. Problems are in the report, not raised. ``progress`` hears
        (bytes read, bytes in all), from several threads.
        """
        from deltackpt.maintenance.verify.store import verify

        return verify(self._repository, data=data, sample=sample, progress=progress)

    def verify_file(
        self, path: str | os.PathLike[str], ref: Ref | None = None, *, progress: Progress | None = None
    ) -> FileCheck:
        """Compare a file, tensor by tensor, with the commit at ``ref``, or with the one that its header names.

        The file may be a checkout of any part of a state, or the file that was committed. Differences are in what is
        returned, not raised.
        """
        from deltackpt.maintenance.verify.file import check_file

        return check_file(self._repository, os.fspath(path), ref, progress)

    def completeness(self, ref: Ref, names: Sequence[str]) -> Completeness:
        """Whether a commit has parts, or values at the top level, of these names, or lost them by thinning."""
        from deltackpt.maintenance.verify.completeness import completeness

        return completeness(self._repository, self.resolve(ref), names)

    @staticmethod
    def doctor(path: str | os.PathLike[str]) -> Checkup:
        """Look around the store at ``path``, which need not open: versions, disk, sizes, index, and every trouble.

        Changes nothing. NotFoundError when there is no store.
        """
        from deltackpt.maintenance.doctor.examine import examine

        return examine(os.fspath(path))

    def protect(self, share: float = 0.05, *, progress: Callable[[int, int], None] | None = None) -> Protection:
        """Write Reed-Solomon parity of ``share`` of their size for the packs that have none; `repair` restores by it.

        Packs that are written later have none until the next call. Needs the extra ``parity``. CorruptError when a pack
        is damaged already. Safe beside writers and readers. ``progress`` hears (bytes read, bytes in all).
        """
        from deltackpt.maintenance.parity.protect import protect

        return protect(self._repository, share, progress)

    @staticmethod
    def repair(
        path: str | os.PathLike[str],
        *,
        execute: bool = False,
        sources: Sequence[str | os.PathLike[str]] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> RepairPlan:
        """Say how the store at ``path``, which need not open, can be mended and what is lost; ``execute`` mends it.

        ``sources`` are other stores, and files with tensors, where lost chunks are looked for. Damaged files are kept
        in ``quarantine/``; nothing is deleted. Safe beside writers and readers. ``progress`` hears (bytes read, bytes
        in all), from several threads.
        """
        from deltackpt.maintenance.repair.repair import repair

        return repair(os.fspath(path), execute=execute, sources=[os.fspath(s) for s in sources], progress=progress)

    def _commits(self, refs: Iterable[Ref]) -> list[Commit]:
        """The commits of ``refs``, those of a range ``OLD..NEW`` oldest first."""
        from deltackpt.history.selection import between

        found: list[Commit] = []
        for ref in refs:
            old, dots, new = ref.partition("..") if isinstance(ref, str) else ("", "", "")
            found += between(self.log(new), self.resolve(old)) if dots else [self.resolve(ref)]
        return found

    def _commit_path(
        self, path: str | os.PathLike[str] | FileSet, request: CommitRequest, *, strict: bool, progress: Progress | None
    ) -> Commit:
        from deltackpt.commit.apart import refuse_own_files
        from deltackpt.content.path import path_content
        from deltackpt.fs.file_set import FileSet

        place = path if isinstance(path, FileSet) else os.fsdecode(path)
        if isinstance(place, str):
            refuse_own_files(place, self.path)
        with path_content(place, strict=strict, executor=self._repository.executor) as content:
            if strict and content.warnings:
                raise content.warnings[0]
            return self._commit(content, request, progress)

    def _commit(self, content: Content, request: CommitRequest, progress: Progress | None) -> Commit:
        from deltackpt.commit.commit import commit
        from deltackpt.commit.watched import watched
        from deltackpt.maintenance.archive import archive_when_long

        made = commit(self._repository, watched(content, progress), request)
        archive_when_long(self._repository)
        return made

    def _side(self, ref: Ref) -> Side:
        from deltackpt.diff.diff import Side

        return Side(self._repository, self.resolve(ref))

    def _parent(self, parent: Ref | None) -> str | Commit | None:
        return self.resolve(parent) if isinstance(parent, CommitId) else parent
