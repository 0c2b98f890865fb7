"""Which chunks leave the store with packs that are not theirs, so that everyone agrees on what it holds."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from deltackpt.chunkstore.heads import join_ids, split_ids
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.holdings import Holdings
from deltackpt.maintenance.records import Mask
from deltackpt.maintenance.survey import Survey


def forgotten(survey: Survey, gone: Collection[PackId]) -> tuple[ChunkId, ...]:
    """Garbage in packs that stay, which must not be found there when ``gone`` packs have left.

    Either a base of it goes. Or its copy in use goes, which once took over from a pack that was then revived: who built
    an index later would never have heard of that copy, and find the first one again.
    """
    holdings = survey.holdings
    records = holdings.records
    used = records.holders >= 0
    leaving = np.zeros(len(used), np.bool_)
    leaving[used] = holdings.stands_in(gone)[records.records[records.holders[used]]]
    sunk = _without_base(survey, ~used | leaving) & used & ~leaving
    found = np.flatnonzero(sunk | _shadows(holdings, gone, leaving))
    return tuple(sorted(split_ids(records.numbering.ids(found))))


def _without_base(survey: Survey, absent: Mask) -> Mask:
    """By chunk, whether it can be decoded no more when those that are ``absent`` are."""
    records = survey.holdings.records
    lost = absent.copy()
    # A base that is declared lost may come back, and what stands on it with it.
    declared = records.numbering.find(join_ids(survey.lost))
    declared = declared[declared >= 0]
    lost[declared[records.holders[declared] < 0]] = False
    members = np.flatnonzero(records.bases >= 0)
    while len(members):
        sinks = lost[records.bases[members]]
        taken = records.members_of(np.unique(records.records[members[sinks]]))
        taken = taken[records.holders[records.chunks[taken]] == taken]
        taken = taken[~lost[records.chunks[taken]]]
        if not len(taken):
            break
        lost[records.chunks[taken]] = True
        members = members[~sinks]
    return lost


def _shadows(holdings: Holdings, gone: Collection[PackId], leaving: Mask) -> Mask:
    """By chunk, whether it is ``leaving`` though a pack that stays holds a copy."""
    found = np.zeros(len(leaving), np.bool_)
    if leaving.any():
        records = holdings.records
        stays = holdings.stands_in(holdings.packs.keys() - set(gone))
        members = np.flatnonzero(leaving[records.chunks])
        found[records.chunks[members[stays[records.records[members]]]]] = True
    return found
