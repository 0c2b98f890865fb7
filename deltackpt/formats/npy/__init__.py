"""NumPy's files: ``header`` reads what an array is, ``array`` a ``.npy`` file, ``archive`` an ``.npz`` of them."""

from deltackpt.formats.npy.archive import is_npz, read_npz
from deltackpt.formats.npy.array import read, recognises

__all__ = ["is_npz", "read", "read_npz", "recognises"]
