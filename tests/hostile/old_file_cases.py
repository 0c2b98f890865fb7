"""Files from before zip, and pickles that are no files of PyTorch at all."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

from pickle_forge import STOP, call, dict_of, name, number, tensor, text, tuple_of
from torch_case import DATA, EVIL, Case

from deltackpt.errors import FormatError, UnsupportedError

NUMBER = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
MAGIC = NUMBER + pickle.dumps(1001, 2)
SYSTEM_INFO = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2)
KEYS = pickle.dumps(["0"], 2)


def storage(view: bytes = b"N", count: int = 4) -> bytes:
    return tuple_of(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), number(count), view) + b"Q"


OLD = dict_of(w=tensor(of=storage())) + STOP
KEYS_AT = len(MAGIC + SYSTEM_INFO + OLD)
COUNT_AT = KEYS_AT + len(KEYS)


def legacy(pickled: bytes = OLD, keys: bytes = KEYS, count: int = 4, info: bytes = SYSTEM_INFO) -> bytes:
    """An old file with one storage of 16 bytes."""
    return MAGIC + info + pickled + keys + struct.pack("<q", count) + DATA


def old_files() -> Iterator[Case]:
    def read(label: str, raw: bytes, *tensors: str, objections: tuple[str, ...] | None = ()) -> Case:
        return Case(label, raw, "pytorch legacy", tensors, objections=objections)

    yield read("an old file", legacy(), "w")
    payload = dict_of(w=tensor(of=storage()), x=EVIL) + STOP
    yield read("an old file with a payload", legacy(payload), "w", objections=("os.system",))
    module = tuple_of(text("module"), name("evil", "Net"), text("net.py"), text("import os")) + b"Q"
    source = dict_of(w=tensor(of=storage()), x=module) + STOP
    yield read("a class with its source", legacy(source), "w", objections=("evil.Net",))
    half = storage(tuple_of(text("1"), number(2), number(2)))
    yield read("a view on a storage", legacy(dict_of(w=tensor((2,), of=half)) + STOP), "w@0", "w")
    yield read("a big-endian host's old file", legacy(info=pickle.dumps({"little_endian": False})), objections=None)
    yield read("a payload for system information", legacy(info=EVIL + STOP), "w")
    outside = dict_of(w=tensor((2,), of=storage(tuple_of(text("1"), number(2), number(3))))) + STOP
    at = len(MAGIC + SYSTEM_INFO) + outside.index(b"Q")
    worded = f"the end of a view on a storage at byte {at}; expected 0 to 4, found 5"
    lost = ("torch._utils._rebuild_tensor_v2", "a persistent id", "torch.FloatStorage")
    yield Case("a view past its storage", legacy(outside), "pytorch legacy", (), FormatError, worded, lost)


def damaged_old_files() -> Iterator[Case]:
    def refused(label: str, raw: bytes, what: str, at: int, expected: str) -> Case:
        worded = f"{what} at byte {at}; expected {expected}"
        return Case(label, raw, "pytorch legacy", (), FormatError, worded, None)

    def keyed(label: str, expected: str, keys: Any) -> Case:
        raw = keys if isinstance(keys, bytes) else pickle.dumps(keys, 2)
        return refused(label, legacy(keys=raw), "the storages", KEYS_AT + len(raw), expected)

    version = NUMBER + pickle.dumps(7, 2) + SYSTEM_INFO + OLD + KEYS
    magic = "PyTorch's magic number and version 1001, found others"
    yield refused("another version", version, "the first pickles", 0, magic)
    yield refused("nothing but the magic number", MAGIC, "the pickle ends early", len(MAGIC), "an opcode, found 0")
    yield keyed("no keys", "the keys of 1 of them, found others", [])
    yield keyed("keys that are no list", "the keys of 1 of them, found others", {"0": 1})
    yield keyed("keys in lists in lists", "the keys of 1 of", b"](" + b"]" * 99_999 + b"a" * 99_998 + b"Ne" + STOP)
    yield keyed("another key", "each key of the pickle once, found another", ["1"])
    yield keyed("a key of 30,000 bits", "each key of the pickle once, found another", [1 << 30000])
    elements = "4 elements, found "
    yield refused("other elements", legacy(count=5), "storage '0'", COUNT_AT, elements + "5")
    yield refused("negative elements", legacy(count=-1), "storage '0'", COUNT_AT, elements + "-1")
    large = 1 << 60
    raw = legacy(dict_of(w=tensor(of=storage(count=large))) + STOP, count=large)
    cut = "the data is cut off"
    yield refused("2^60 elements", raw, cut, len(raw), f"a file of at least {len(raw) - 16 + 4 * large} bytes")
    whole = legacy()
    yield refused("an old file cut off", whole[:-1], cut, len(whole) - 1, f"a file of at least {len(whole)} bytes")
    yield refused("cut off in a count", whole[: COUNT_AT + 5], cut, COUNT_AT, "8 bytes, found 5")
    yield refused(
        "trailing bytes of an old file", whole + b"x", "trailing bytes", len(whole), f"a file of {len(whole)} bytes"
    )


def other_files() -> Iterator[Case]:
    def kept(label: str, raw: bytes, worded: str, kind: type[FormatError] = UnsupportedError) -> Case:
        return Case(label, raw, "bytes", (), kind, worded, None)

    for protocol in (2, 3, 4, 5):
        raw = b"\x80" + bytes([protocol]) + EVIL + STOP
        yield kept(f"a pickle of protocol {protocol}", raw, "this is a pickle, which is not supported yet")
    yield kept("a pickle of protocol 0", EVIL + STOP, "unknown kind of file at byte 0", FormatError)
    tar = b"pickle".ljust(257, b"\0") + b"ustar" + bytes(250)
    yield kept("a tar of the first releases", tar, "this is a tar archive, which is not supported yet")
    command = call(name("torch.distributed.checkpoint.metadata", "Metadata"), EVIL)
    yield Case("metadata that runs a command", b"\x80\x02" + command + STOP, "dcp metadata", (), objections=None)
