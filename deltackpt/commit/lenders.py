"""Commits that may lend bases: what they have of the forms that are wanted, the most promising commits first."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from deltackpt.commit.forms import Form, form_of_stored
from deltackpt.commit.samples import size_of
from deltackpt.content.content import Content
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.pointers import list_refs
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository
from deltackpt.history.roles import is_optimizer

_PROBES = 4
_FEW_VALUES = 128

_log = logging.getLogger("deltackpt")


@dataclass(frozen=True, slots=True)
class Lender:
    """Tensors of one commit by their form, in its order."""

    offers: dict[Form, list[StoredTensor]]

    @classmethod
    def of(cls, tensors: Iterable[StoredTensor], forms: Collection[Form]) -> Lender:
        """What ``tensors`` offer of ``forms``."""
        offers: dict[Form, list[StoredTensor]] = {}
        for tensor in tensors:
            if (form := form_of_stored(tensor)) in forms and form is not None:
                offers.setdefault(form, []).append(tensor)
        return cls(offers)

    def probes(self) -> list[tuple[Form, StoredTensor]]:
        """A few tensors that tell whether new ones are of the same descent: cheap ones, of several forms.

        Integers come last: masks and positions are the same in models that have nothing else in common.
        """
        cheap = sorted(self.offers, key=lambda form: (self._tells_little(form), form.first))
        turns = max(map(len, self.offers.values()), default=0)
        in_turn = (
            (form, self.offers[form][at]) for at in range(turns) for form in cheap if at < len(self.offers[form])
        )
        return list(islice(in_turn, _PROBES))

    def _tells_little(self, form: Form) -> tuple[bool, bool]:
        dtype = self.offers[form][0].dtype
        return not dtype.element.exponent_bits and dtype.block_values is None, form.first < _FEW_VALUES


def promising_heads(repository: Repository, content: Content) -> list[Commit]:
    """The heads of branches: those with a part of as many bytes as one of ``content`` first, then the newest."""
    sizes = {sum(map(size_of, part.tensors)) for part in content.parts} - {0}
    heads = {commit.id: commit for commit in list_refs(repository, Branch).values()}
    newest = sorted(heads.values(), key=lambda commit: commit.time, reverse=True)
    return sorted(newest, key=lambda commit: not any(part.nbytes in sizes for part in commit.parts))


def tensors_of(repository: Repository, commit: Commit) -> Iterator[StoredTensor]:
    """All tensors of a commit, those of optimizers last; with a warning as far as it is damaged."""
    try:
        for part in sorted(commit.parts, key=lambda part: is_optimizer(part.name)):
            yield from repository.manifests.part(part.id).tensors
    except (CorruptError, NotFoundError) as error:
        _log.warning("commit %s is damaged (%s), so nothing of it helps to store this one", commit.id.short, error)
