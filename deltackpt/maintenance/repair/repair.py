"""Repair: whatever an automatic rebuild of the index cannot mend. Plan first; copy, switch, then move aside.

1. ``store.json``, then the log: without them nothing else can be looked at. They are mended by the folder, not by an
   open store, since one with a damaged log may not open.
2. Damaged packs that have parity are made again, byte by byte.
3. Packs and lost chunks, of the store as it is then.

Nothing is ever deleted. A repair may be interrupted anywhere; the next one takes up what is left, and after one that
went through the next has nothing to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress

from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.transaction import StaleTransactionError
from deltackpt.errors import LockedError
from deltackpt.fs.disk import Disk
from deltackpt.history.repository import Options, Repository
from deltackpt.maintenance.parity.restore import plan_restorations
from deltackpt.maintenance.repair.evidence import gather
from deltackpt.maintenance.repair.facts import plan_facts
from deltackpt.maintenance.repair.log import LogRepair
from deltackpt.maintenance.repair.packs import plan_packs
from deltackpt.maintenance.repair.plan import Mend, RepairPlan
from deltackpt.maintenance.repair.sources import Source, open_sources
from deltackpt.maintenance.repair.substitute import Substitutes

Progress = Callable[[int, int], None]

_MAX_RESTARTS = 10


def repair(
    path: str,
    *,
    execute: bool = False,
    sources: Sequence[str] = (),
    progress: Progress | None = None,
    disk: Disk | None = None,
) -> RepairPlan:
    """Plan how to mend the store in the folder ``path``, and with ``execute`` do so.

    ``sources`` are other stores and files with tensors where lost chunks may be had. ``progress`` hears (bytes read,
    bytes in all). StorageError when something cannot be read at all, which may be sound; nothing is changed then.
    """
    disk, layout = disk or Disk(), Layout(os.path.abspath(path))
    facts = plan_facts(disk, layout)
    evidence = gather(disk, layout, facts.facts)
    log = LogRepair(evidence, Substitutes(evidence))
    mends = [*facts.mends(), *log.mends()]
    if execute and facts.needed:
        facts.execute()
    if (facts.needed or log.needed) and not execute:
        return RepairPlan(tuple(mends), log.losses(), complete=False)
    if log.needed:
        # What a damaged record carried stands elsewhere in its substitute: the index is built again when it is opened.
        log.execute()
    with ExitStack() as stack:
        repository = stack.enter_context(closing(Repository(path, Options(), lambda done, total: None, disk)))
        restorations = list(plan_restorations(repository.chunks))
        mends += [restoration.mend for restoration in restorations]
        if restorations and not execute:
            return RepairPlan(tuple(mends), log.losses(), complete=False)
        for restoration in restorations:
            restoration.execute()
        opened = [stack.enter_context(closing(source)) for source in open_sources(repository, sources)]
        packs = _repair_packs(repository, opened, execute, progress)
        return RepairPlan((*mends, *packs.mends), (*log.losses(), *packs.losses))


def _repair_packs(
    repository: Repository, sources: Sequence[Source], execute: bool, progress: Progress | None
) -> RepairPlan:
    for _ in range(_MAX_RESTARTS):
        mends: list[Mend] = []
        plan = plan_packs(repository, sources, progress)
        if plan.stale_index is not None:
            mends.append(plan.stale_index)
            if execute:
                repository.chunks.rebuild()
                plan = plan_packs(repository, sources, progress)
        mends += plan.mends()
        # A gc may take away what is about to be copied; what is left to do is then another plan.
        with suppress(StaleTransactionError, FileNotFoundError):
            if execute:
                plan.execute()
            elif plan.is_overtaken:
                continue
            return RepairPlan(tuple(mends), plan.losses)
    raise LockedError(f"gave up after a gc overtook this repair {_MAX_RESTARTS} times; let it finish")
