"""Tensors and storages whose description cannot be true, in a sound archive."""

from __future__ import annotations

from collections.abc import Iterator

from pickle_forge import STOP, call, dict_of, name, number, storage, tensor, text, tuple_of
from torch_case import DATA, PICKLE_AT, Case, beside, saved
from zip_forge import Record, archive

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.pickles.limits import MAX_COUNT

REBUILD = ("torch._utils._rebuild_tensor_v2",)
LOST_STORAGE = (*REBUILD, "a persistent id", "torch.FloatStorage")
MISSING = ("a storage that is not in the file",)


def lying_tensors() -> Iterator[Case]:
    """The tensor is left out; the one beside it is found."""

    def lying(
        label: str, text: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, limit: bool = False
    ) -> Case:
        hostile = tensor(shape, strides, offset)
        pickled = dict_of(w=tensor(), x=hostile) + STOP
        what, expected = text.split(" | ")
        at = PICKLE_AT + pickled.index(hostile) + len(hostile) - 1
        worded = f"{what} at byte {at}; expected {expected}"
        kind = LimitError if limit else FormatError
        return Case(label, saved(pickled), warning=kind, text=worded, objections=REBUILD)

    past = "a tensor's end | at most element 4 of its storage, found "
    yield lying("an offset past the storage", past + "5", (1,), (1,), 4)
    yield lying("an end past the storage", past + "5", (5,), (1,))
    yield lying("strides past the storage", past + "5", (2, 2), (3, 1))
    yield lying("an offset of 2^62", past + str((1 << 62) + 1), (1,), (1,), 1 << 62)
    yield lying("an offset of 32,000 bits", past + "a number of 32001 bits", (1,), (1,), 1 << 32000)
    yield lying("a negative offset", "a tensor's offset | no negative number, found -1", (1,), (1,), -1)
    yield lying("a negative stride", "a tensor's strides | no negative number, found -1", (2,), (-1,), 1)
    yield lying("a negative extent", "a tensor's shape | no negative number, found -2", (-2,), (1,))
    yield lying("strides of another rank", "a tensor's strides | 2 numbers, found 1", (2, 2), (1,))
    most = f"a tensor's shape | at most {MAX_COUNT}"
    yield lying("more elements than can be", f"{most} elements", (1 << 40, 1 << 40), (0, 0), limit=True)
    yield lying("as many beside a zero", f"{most} elements", (0, 1 << 40, 1 << 40), (1, 1, 1), limit=True)
    yield lying("an extent of 2^64", f"{most}, found {1 << 64}", (1 << 64,), (0,), limit=True)
    yield lying("an extent of 32,000 bits", f"{most}, found a number of 32001 bits", (1 << 32000,), (0,), limit=True)
    yield lying("65 dimensions", "a tensor's shape | at most 64 numbers, found 65", (1,) * 65, (1,) * 65, limit=True)
    yield Case("2^40 elements over four", saved(dict_of(w=tensor((1 << 20, 1 << 20), (0, 0))) + STOP))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    words = call(rebuild, storage(), number(0), tuple_of(text("2")), b")", b"\x89", b"N")
    yield Case("a shape of texts", beside(words), objections=REBUILD)
    yield Case("no arguments", beside(call(rebuild)), objections=REBUILD)
    yield Case("a tensor for a storage", beside(tensor(of=tensor())), objections=REBUILD)


def lying_storages() -> Iterator[Case]:
    """The storage has no place, and its tensors no bytes."""
    for label, count in (("too long", 8), ("too short", 3), ("of 2^60 elements", 1 << 60)):
        pickled = dict_of(w=tensor((2,), of=storage(count=count))) + STOP
        entry_at = PICKLE_AT + len(pickled) + 38
        worded = f"entry 'm/data/0' at byte {entry_at}; expected {4 * count} bytes, found 16"
        yield Case(
            f"a storage {label}", saved(pickled), tensors=(), warning=FormatError, text=worded, objections=MISSING
        )
    for label, count in (("a negative number of", -1), ("2^63", 1 << 63)):
        pickled = dict_of(w=tensor((2,), of=storage(count=count))) + STOP
        at = PICKLE_AT + pickled.index(b"Q")
        worded = f"a storage at byte {at}; expected 0 to {MAX_COUNT} elements, found {count}"
        hostile = saved(pickled)
        yield Case(f"{label} elements", hostile, tensors=(), warning=FormatError, text=worded, objections=LOST_STORAGE)
    twice = dict_of(w=tensor(), again=tensor(of=storage(count=5))) + STOP
    at = PICKLE_AT + twice.rindex(b"Q")
    worded = f"storage '0' at byte {at}; expected 16 bytes, as before, found 20"
    yield Case("a storage of two sizes", saved(twice), warning=FormatError, text=worded, objections=LOST_STORAGE)
    unknown = dict_of(w=tensor(), x=tensor(of=storage("../0"))) + STOP
    worded = f"entry 'm/data/../0' at byte {PICKLE_AT}; expected the storage that the pickle names, found no entry"
    yield Case("no entry", saved(unknown), warning=FormatError, text=worded, objections=MISSING)
    packed = {"method": 8, "size": 1 << 31}
    bomb = dict_of(w=tensor((1 << 29,), of=storage(count=1 << 29))) + STOP
    raw = archive(Record("m/data.pkl", bomb), Record("m/data/0", b"x" * 9, packed, packed))
    yield Case("two gigabytes in nine bytes", raw, tensors=(), objections=MISSING)
    raw = archive(Record("m/data.pkl", b"x", {"method": 8}, {"method": 8}), Record("m/data/0", DATA))
    yield Case("a packed pickle", raw, tensors=(), objections=None)
    inner = saved(STOP)
    whole = storage(count=len(inner), kind="ByteStorage")
    raw = saved(dict_of(w=tensor((len(inner),), of=whole)) + STOP, data=inner)
    yield Case("an archive in an archive", raw)
