"""The search for bases among the tensors of other commits, by what they hold.

1. A few cheap tensors of each commit are compared with all new ones of their forms. Where one is like any of these,
   the commit is of the same descent; where none is, the commit is left alone.
2. Of the commits of the same descent the one most alike is read: for every new tensor the stored one is taken whose
   values are most like its own. What is left over is looked for in the next one that showed some of it.
3. A tensor whose values tell nothing goes by the end of its name, in the commits that were read.

Reading stored chunks is what costs, so that is what is bounded: for the first step about a quarter of the bytes that
there are to store, for the second all of them; most of the latter are the bases that have to be read anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deltackpt.codec.lanes import Lanes
from deltackpt.commit.forms import Form, common_ending, endings
from deltackpt.commit.lenders import Lender
from deltackpt.commit.likeness import ALIKE, compare, rounded_sketch
from deltackpt.commit.sketches import Sketches
from deltackpt.commit.wanted import Wanted
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId

LEAST_EFFORT = 32 << 20
"""Bytes that either step may read however little there is to store: some 30 ms."""
ROW_EFFORT = 8 << 10
"""Bytes that could be read while a row of a manifest is."""


@dataclass(frozen=True, slots=True)
class _Match:
    """A stored tensor for a wanted one."""

    wanted: Wanted
    stored: StoredTensor
    likeness: float

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def rank(self) -> tuple[float, bool, int]:
        """How well they fit: shape and name decide between equal values."""
        same_shape = self.wanted.source.shape == self.stored.shape
        return self.likeness, same_shape, common_ending(self.name, self.stored.name)


class Search:
    """Finds bases for ``wanted``; ``found`` has them by the names of the new tensors. For one thread."""

    def __init__(self, repository: Repository, wanted: Sequence[Wanted]) -> None:
        self.found: dict[str, StoredTensor] = {}
        self._open = {one.name: one for one in wanted}
        self._by_form: dict[Form, list[Wanted]] = {}
        for one in wanted:
            for form in one.forms:
                self._by_form.setdefault(form, []).append(one)
        self._plain = sum(one.nbytes for one in wanted)
        self._sketches = Sketches(repository)

    def in_named(self, tensors: Iterable[StoredTensor]) -> None:
        """Take what helps of a commit that the caller named."""
        self._read([Lender.of(tensors, self._by_form)])

    def in_likely(self, commits: Iterable[tuple[int, Iterable[StoredTensor]]]) -> None:
        """Take what helps of the commits of the same descent; each is given with the number of its tensors."""
        self._sketches.effort = LEAST_EFFORT + self._plain // 4
        lenders = []
        for rows, tensors in commits:
            if not self._sketches.spend(rows * ROW_EFFORT):
                break
            lenders.append(Lender.of(tensors, self._by_form))
        related = self._related(lenders)
        self._read(lender for lender, names in related if names & self._open.keys())

    def _related(self, lenders: Sequence[Lender]) -> list[tuple[Lender, set[str]]]:
        """Commits with the names of the new tensors that their probes are like, the most alike first."""
        probes = [lender.probes() for lender in lenders]
        found: list[list[_Match]] = [[] for _ in lenders]

        def promise(at: int) -> float:
            return -sum(match.likeness for match in found[at])

        for turn in range(max(map(len, probes), default=0)):
            asked: dict[Form, list[tuple[int, StoredTensor]]] = {}
            for at in sorted(range(len(lenders)), key=promise):
                for form, probe in probes[at][turn : turn + 1]:
                    asked.setdefault(form, []).append((at, probe))
            for form, of_form in asked.items():
                likest = self._likest(form, {probe.chunks[0]: probe for _, probe in of_form})
                for at, probe in of_form:
                    found[at] += likest.get(probe.chunks[0], [])
        order = sorted((at for at in range(len(lenders)) if found[at]), key=promise)
        return [(lenders[at], {match.name for match in found[at]}) for at in order]

    def _read(self, lenders: Iterable[Lender]) -> None:
        """Take bases from each of ``lenders`` by their values, then by their names what is still open."""
        self._sketches.effort = LEAST_EFFORT + self._plain
        read = []
        for lender in lenders:
            read.append(lender)
            for match in self._best(lender, self._take_equal(lender)):
                self._take(match)
        for lender in read:
            self._take_by_name(lender)

    def _take(self, match: _Match) -> None:
        self.found[match.name] = match.stored
        del self._open[match.name]

    def _open_of(self, form: Form) -> list[Wanted]:
        return [one for one in self._by_form[form] if one.name in self._open]

    def _take_equal(self, lender: Lender) -> set[ChunkId]:
        """Take the tensors that begin with the very bytes of a stored one; gives their first chunks.

        Those need not be read: they are somebody's base already.
        """
        equal: set[ChunkId] = set()
        for form, stored in lender.offers.items():
            by_chunk: dict[ChunkId, list[StoredTensor]] = {}
            for tensor in stored:
                by_chunk.setdefault(tensor.chunks[0], []).append(tensor)
            wanted = [one for one in self._open_of(form) if one.form == form]
            for one, chunk in zip(wanted, self._sketches.first_chunks(wanted), strict=True):
                if same := [_Match(one, tensor, 1.0) for tensor in by_chunk.get(chunk, ())]:
                    equal.add(chunk)
                    self._take(max(same, key=lambda match: match.rank))
        return equal

    def _best(self, lender: Lender, equal: set[ChunkId]) -> list[_Match]:
        """For each open tensor the one of ``lender`` that it is most like, without those that are ``equal``."""
        best: dict[str, _Match] = {}
        for form, stored in lender.offers.items():
            changed = [tensor for tensor in stored if tensor.chunks[0] not in equal]
            for match in self._alike(form, changed):
                if match.name not in best or match.rank > best[match.name].rank:
                    best[match.name] = match
        return list(best.values())

    def _alike(self, form: Form, stored: Sequence[StoredTensor]) -> Iterator[_Match]:
        """The open tensors with those of ``stored``, of one form, that their values are like."""
        for group, new, tensors, old in self._faced(form, stored, keep=True):
            for one, scores in zip(group, compare(new, old), strict=True):
                yield from (_Match(one, tensors[at], score) for score, at in scores if score >= ALIKE)

    def _likest(self, form: Form, probes: Mapping[ChunkId, StoredTensor]) -> dict[ChunkId, list[_Match]]:
        """The one open tensor that each of ``probes``, of one form, is most like, as far as it is like any."""
        found: dict[ChunkId, list[_Match]] = {}
        for group, new, tensors, old in self._faced(form, list(probes.values()), keep=False):
            for tensor, scores in zip(tensors, compare(old, new), strict=True):
                matches = [_Match(group[at], tensor, score) for score, at in scores if score >= ALIKE]
                matches += found.get(tensor.chunks[0], [])
                found[tensor.chunks[0]] = sorted(matches, key=lambda match: match.rank)[-1:]
        return found

    def _faced(
        self, form: Form, stored: Sequence[StoredTensor], *, keep: bool
    ) -> Iterator[tuple[list[Wanted], list[Lanes], list[StoredTensor], list[Lanes]]]:
        """The open tensors of each type that ``stored``, of one form, may help, and these, all with their sketches."""
        wanted = self._open_of(form)
        known = self._sketches.of_stored(stored, keep=keep) if wanted else []
        tensors = [tensor for tensor, _ in known]
        for dtype in {one.source.dtype.name: one.source.dtype for one in wanted if known}.values():
            group = [one for one in wanted if one.source.dtype == dtype]
            old = [sketch if dtype.name == form.dtype else rounded_sketch(sketch, dtype.element) for _, sketch in known]
            yield group, [self._sketches.of_new(one) for one in group], tensors, old

    def _take_by_name(self, lender: Lender) -> None:
        """Take the tensors of the same shape whose names end alike, for what has none of its own name in the parent."""
        known: dict[tuple[Form, tuple[int, ...], tuple[str, ...]], StoredTensor] = {}
        for form, stored in lender.offers.items():
            for tensor in stored if self._open_of(form) else ():
                for ending in endings(tensor.name):
                    known.setdefault((form, tensor.shape, ending), tensor)
        for one in [one for one in self._open.values() if not one.doubted]:
            keys = ((form, one.source.shape, ending) for form in one.forms for ending in endings(one.name))
            if (key := next((key for key in keys if key in known), None)) is not None:
                self._take(_Match(one, known[key], 0.0))
