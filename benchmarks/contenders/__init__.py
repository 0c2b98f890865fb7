"""The store and its peers, one file for each family, all behind one Protocol."""

from benchmarks.contenders.backups import Borg, Restic
from benchmarks.contenders.contender import Contender, Keeper
from benchmarks.contenders.deltackpt_store import DeltackptStore
from benchmarks.contenders.plain_files import Safetensors, Zstd
from benchmarks.contenders.torch_files import DistributedCheckpoint, TorchSave
from benchmarks.contenders.zipnn_files import ZipNN, ZipNNDelta

CONTENDERS: tuple[type[Contender], ...] = (
    DeltackptStore,
    TorchSave,
    Safetensors,
    DistributedCheckpoint,
    Zstd,
    ZipNN,
    ZipNNDelta,
    Restic,
    Borg,
)

KEEPERS: tuple[type[Keeper], ...] = (DeltackptStore, Restic, Borg)

__all__ = ["CONTENDERS", "KEEPERS", "Borg", "Contender", "DeltackptStore", "Keeper"]
