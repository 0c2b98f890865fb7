"""The ``.metadata`` of a torch.distributed.checkpoint folder: which piece of which tensor stands where.

It is a pickle of plain records, and is read as one: what PyTorch would make objects of, and for which it would run
whatever the file names, are opaque nodes here, of which a few fields are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from deltackpt.errors import FormatError, LimitError, UnsafeError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.pickles.limits import MAX_COUNT, MAX_PICKLE_BYTES
from deltackpt.formats.pickles.machine import read_pickle
from deltackpt.formats.pickles.nodes import Dict, Dtype, Node, Opaque, Size
from deltackpt.formats.wording import complaint, quoted

_MODULE = b"torch.distributed.checkpoint.metadata"

_Fields: TypeAlias = dict[str, Node]


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a tensor: ``sizes`` elements from ``offsets`` of a tensor of ``dtype`` with the shape ``whole``."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    whole: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Item:
    """``length`` bytes at ``offset`` of the folder's ``file`` hold ``piece`` of what is named ``fqn``.

    ``piece`` is None for an object that is no tensor. ``transforms`` were applied to the bytes (compression); with none
    they are what ``torch.save`` wrote.
    """

    file: str
    offset: int
    length: int
    fqn: str
    piece: Piece | None
    transforms: tuple[str, ...]

    @property
    def name(self) -> str:
        """``model.0.weight`` for a whole tensor, ``model.0.weight@3,0`` for the block of it that begins there."""
        if self.piece is None or self.piece.sizes == self.piece.whole:
            return self.fqn
        return f"{self.fqn}@{','.join(map(str, self.piece.offsets))}"


def recognises(head: bytes) -> bool:
    """Whether a file is such a pickle: it begins with the class that it is an object of."""
    return head.startswith(b"\x80") and _MODULE in head


def read_metadata(raw: bytes, file: str) -> tuple[Item, ...]:
    """Every item of the folder, in no certain order. ``file`` is what errors call the metadata.

    Raises FormatError for what is not such metadata, LimitError or UnsafeError. Whether the items are where
    it says is for the reader of those files to see.
    """
    if len(raw) > MAX_PICKLE_BYTES:
        raise LimitError(complaint(file, "the metadata", 0, f"at most {MAX_PICKLE_BYTES} bytes", str(len(raw))))
    return tuple(_Metadata(file).items(read_pickle(raw, 0, file).root))


class _Metadata:
    def __init__(self, file: str) -> None:
        self._file = file

    def items(self, root: Node) -> Iterator[Item]:
        fields = self._fields(root, "Metadata")
        pieces = dict(self._pieces(fields.get("state_dict_metadata")))
        for key, info in self._pairs(fields.get("storage_data"), "storage_data"):
            yield self._item(key, info, pieces)

    def _item(self, key: Node, info: Node, pieces: dict[tuple[str, Node], Piece]) -> Item:
        index, place = self._fields(key, "MetadataIndex"), self._fields(info, "_StorageInfo")
        fqn, path = self._text(index.get("fqn"), "fqn"), self._text(place.get("relative_path"), "relative_path")
        if is_unsafe(path):
            raise UnsafeError(complaint(self._file, "relative_path", 0, SAFE_NAME, quoted(path)))
        offset, length = self._count(place.get("offset"), "offset"), self._count(place.get("length"), "length")
        at = index.get("offset")
        piece = None if at is None else pieces.get((fqn, self._extents(at, "offset")))
        transforms = place.get("transform_descriptors") or ()
        if type(transforms) not in (list, tuple):
            self._refuse("transform_descriptors", "a list of texts")
        names = tuple(self._text(name, "transform_descriptors") for name in transforms)
        return Item(path, offset, length, fqn, piece, names)

    def _pieces(self, described: Node) -> Iterator[tuple[tuple[str, Node], Piece]]:
        """The blocks of every tensor, by its name and where they begin."""
        for fqn, node in self._pairs(described, "state_dict_metadata"):
            if type(node) is Opaque and node.name.endswith(".BytesStorageMetadata"):
                continue
            tensor = self._fields(node, "TensorStorageMetadata")
            whole, dtype = self._extents(tensor.get("size"), "size"), self._dtype(tensor.get("properties"))
            chunks = tensor.get("chunks")
            if type(chunks) is not list:
                self._refuse("chunks", "a list")
            for chunk in chunks:
                block = self._fields(chunk, "ChunkStorageMetadata")
                offsets = self._extents(block.get("offsets"), "offsets")
                sizes = self._extents(block.get("sizes"), "sizes")
                yield (self._text(fqn, "a name"), offsets), Piece(offsets, sizes, whole, dtype)

    def _dtype(self, properties: Node) -> str:
        """Of ``TensorProperties``, whose state is a tuple with the type first, or a dictionary in old files."""
        state = properties.state if type(properties) is Opaque else None
        found = state[0] if type(state) is tuple and state else None
        if type(state) is Dict:
            found = dict(self._pairs(state, "properties")).get("dtype")
        if type(found) is not Dtype:
            self._refuse("properties", "an element type")
        return str(found.name)

    def _fields(self, node: Node, cls: str) -> _Fields:
        """The attributes of a record of the class ``cls``, of whatever module: it moved more than once."""
        if type(node) is not Opaque or node.name.rpartition(".")[2] != cls or type(node.state) is not Dict:
            self._refuse("a record", cls)
        return {key: value for key, value in node.state.pairs if type(key) is str}

    def _pairs(self, node: Node, what: str) -> list[tuple[Node, Node]]:
        if type(node) is not Dict:
            self._refuse(what, "a dictionary")
        pairs: list[tuple[Node, Node]] = node.pairs
        return pairs

    def _text(self, node: Node, what: str) -> str:
        if type(node) is not str:
            self._refuse(what, "a text")
        return str(node)

    def _count(self, node: Node, what: str) -> int:
        if type(node) is not int or not 0 <= node <= MAX_COUNT:
            self._refuse(what, f"a number from 0 to {MAX_COUNT}")
        return int(node)

    def _extents(self, node: Node, what: str) -> tuple[int, ...]:
        extents = node.extents if type(node) is Size else node
        if type(extents) not in (tuple, list):
            self._refuse(what, "a torch.Size")
        return tuple(self._count(extent, what) for extent in extents)

    def _refuse(self, what: str, expected: str) -> NoReturn:
        raise FormatError(complaint(self._file, f"{what} of the metadata", 0, expected, "something else"))
