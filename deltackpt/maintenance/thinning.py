"""Which parts of a commit can go when it keeps only its weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltackpt.history.commits import Commit
from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import Part, PartEntry, decode
from deltackpt.history.roles import is_optimizer
from deltackpt.skeleton.leaves import TensorLeaf, leaves
from deltackpt.skeleton.read import read_skeleton


@dataclass(frozen=True, slots=True)
class Thinning:
    """Looks at skeletons, each once: the commits of a run have mostly the same."""

    manifests: Manifests
    _known: dict[tuple[bytes, str], frozenset[str]] = field(default_factory=dict)

    def parts(self, commit: Commit) -> tuple[str, ...]:
        """Optimizer parts, but for one that holds the bytes of a tensor that another part is tied to."""
        names = [part.name for part in commit.parts if is_optimizer(part.name)]
        if not names:
            return ()
        needed = {name for part in commit.parts if part.name not in names for name in self._holders(part)}
        return tuple(name for name in names if name not in needed)

    def _holders(self, entry: PartEntry) -> frozenset[str]:
        """The parts whose tables hold the tensors that stand in a part."""
        part = decode(self.manifests.object(entry.id), Part)
        key = (part.skeleton, entry.name)
        if key not in self._known:
            found = leaves(read_skeleton(self.manifests.object(part.skeleton), entry.name))
            self._known[key] = frozenset(leaf.reference.part for leaf in found if isinstance(leaf, TensorLeaf))
        return self._known[key]
