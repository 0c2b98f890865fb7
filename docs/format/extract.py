"""Restore any commit of a deltackpt store to a safetensors file, without deltackpt.

    python extract.py STORE                      list branches, tags and commits
    python extract.py STORE REF OUT.safetensors  restore a branch, a tag or a commit id (or its beginning)

Needs Python, NumPy and zstandard. It follows the pages beside it (log, pack, recipes, manifest) and nothing else, so
that nobody's data needs us. It checks lengths, not checksums or hashes: for that there is `deltackpt verify`. Tensors
that were lost are named and left out.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import zstandard

ELEMENT_WIDTH = {0: 1, 1: 2, 2: 4, 3: 8, 4: 1, 5: 1, 6: 2, 7: 2, 8: 4, 9: 8}
EXPONENT_MANTISSA = {4: (4, 3), 5: (5, 2), 6: (5, 10), 7: (8, 7), 8: (8, 23), 9: (11, 52)}
ITEMSIZE = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "complex32": 4, "complex64": 8, "complex128": 16}
BLOCKS = "q1_0 18 q4_0 18 q4_1 20 q5_0 22 q5_1 24 q8_0 34 q8_1 40 q2_k 84 q3_k 110 q4_k 144 q5_k 176 q6_k 210 q8_k 292 "
BLOCKS += "iq1_s 50 iq1_m 56 iq2_xxs 66 iq2_xs 74 iq2_s 82 iq3_xxs 98 iq3_s 110 iq4_nl 18 iq4_xs 136 tq1_0 54 tq2_0 66"
ITEMSIZE |= {"int64": 8, "int32": 4, "int16": 2, "uint64": 8, "uint32": 4, "uint16": 2}  # everything else is one byte
ITEMSIZE |= {f"gguf.{name}": int(size) for name, size in zip(BLOCKS.split()[::2], BLOCKS.split()[1::2], strict=True)}
ITEMSIZE |= {"gguf.mxfp4": 17, "gguf.nvfp4": 36, "safetensors.f6_e2m3": 3, "safetensors.f6_e3m2": 3}
CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "bool": "BOOL"}
CODES |= {f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
CODES |= {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"}


def unpack(data: bytes):  # msgpack, as far as a store uses it
    return _unpack(data, 0)[0]


def _unpack(data: bytes, at: int):
    kind, at = data[at], at + 1
    if kind <= 0x7F or kind >= 0xE0:
        return (kind ^ 128) - 128 if kind >= 0xE0 else kind, at
    if kind <= 0x9F:
        return _items(data, at, kind & 15, kind <= 0x8F)
    if kind <= 0xBF:
        return data[at : at + (kind & 31)].decode(), at + (kind & 31)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if 0xCA <= kind <= 0xD3:
        form = struct.Struct(">" + "fdBHIQbhiq"[kind - 0xCA])
        return form.unpack_from(data, at)[0], at + form.size
    size = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}[kind]
    count = int.from_bytes(data[at : at + size], "big")
    at += size
    if kind >= 0xDC:
        return _items(data, at, count, kind >= 0xDE)
    raw = data[at : at + count]
    return raw if kind <= 0xC6 else raw.decode(), at + count


def _items(data: bytes, at: int, count: int, pairs: bool):
    items = []
    for _ in range(count * (1 + pairs)):
        item, at = _unpack(data, at)
        items.append(item)
    return dict(zip(items[::2], items[1::2], strict=True)) if pairs else items, at


def decode(recipe: int, element: int, payload: bytes, length: int, base: bytes) -> bytes:
    count = length // (width := ELEMENT_WIDTH[element])
    if recipe == 1:
        return zstandard.ZstdDecompressor().decompress(payload)
    if recipe == 0 or count == 0:
        return payload[len(payload) - length :]
    word = np.dtype(f"<u{width}")
    if recipe == 2:
        values, at = block(payload, 0, count, word)
        return values.tobytes() + payload[at:]
    below = np.frombuffer(base, "<u4" if recipe == 6 else word, count)
    if recipe == 4:
        residuals, at = grouped(payload, below, element, word)
    else:
        residuals, at = block(payload, 4 if recipe == 5 else 0, count, word)
    if recipe == 5:
        below = scaled(below, np.frombuffer(payload, "<f4", 1)[0])
    elif recipe == 6:
        below = rounded(below, element)
    middle = word.type(int.from_bytes(b"\x80" * (width - 1) + b"\x00", "little"))
    return (residuals + below - middle).tobytes() + payload[at:]


def block(payload: bytes, at: int, count: int, word: np.dtype):
    """``count`` elements from the block at ``at``, and where it ends."""
    heads = [struct.unpack_from("<BI", payload, at + 5 * plane) for plane in range(word.itemsize)]
    at += 5 * word.itemsize
    planes = np.empty((count, word.itemsize), np.uint8)
    for plane, (kind, size) in enumerate(heads):
        body = payload[at : at + size]
        plain = zstandard.ZstdDecompressor().decompress(body) if kind == 2 else body
        planes[:, plane] = np.frombuffer(plain, np.uint8)  # a constant plane is one byte, which NumPy repeats
        at += size
    return planes.view(word).reshape(count), at


def scaled(below: np.ndarray, scale: np.float32):
    magnitude = below & 0x7FFFFFFF
    product = (below.view("<f4") * scale).view("<u4")
    return np.where((magnitude < 25 << 23) | (magnitude >= 255 << 23), below, product)


def rounded(wide: np.ndarray, element: int):
    if element == 7:
        return ((wide + np.uint32(0x7FFF) + (wide >> 16 & 1)) >> 16).astype("<u2")
    narrow = wide.view("<f4").astype("<f2").view("<u2")
    return np.where(wide & 0x7FFFFFFF > 255 << 23, np.uint16(0x7E00), narrow)


def grouped(payload: bytes, below: np.ndarray, element: int, word: np.dtype):
    first, groups = struct.unpack_from("<HB", payload)
    bits, mantissa = EXPONENT_MANTISSA[element]
    field = ((below >> word.type(mantissa)) & word.type((1 << bits) - 1)).astype(np.int64)
    group = np.where((field >= first) & (field < first + groups), field - first, groups)
    residuals, at = np.empty_like(below), 3
    for number in range(groups + 1):
        members = np.flatnonzero(group == number)
        if len(members):
            residuals[members], at = block(payload, at, len(members), word)
    return residuals, at


class Store:
    """The log, replayed; ``places`` says where each chunk's record lies and which member of it the chunk is."""

    def __init__(self, folder: Path):
        self.folder, self.refs, self.commits, self.places, self.last = folder, {}, {}, {}, ((None, 0), b"")
        files, done = [*folder.glob("segments/*.seg"), *folder.glob("log/*/*.rec")], 0
        for path in sorted(files, key=lambda path: (int(path.name[:16]), path.suffix == ".rec")):
            data, at = path.read_bytes(), 0
            while at < len(data):  # a segment holds many records, which may still stand in files of their own too
                _, number, body, inline, _ = struct.unpack_from("<8sQQQQ", data, at)
                if number > done:
                    self.apply(unpack(data[at + 40 : at + 40 + body]), path, at + 40 + body, inline)
                done, at = max(done, number), at + 40 + body + inline

    def apply(self, record: dict, path: Path, inline_at: int, inline: int) -> None:
        takes_over, unused = record.get("superseding", False), set(record.get("duplicates", ()))
        for pack, size, _ in record.get("packs", ()):
            file = self.folder / "packs" / pack.hex()[:2] / f"{pack.hex()}.pack"
            if file.exists():  # else a later record says that it is gone
                self.add(file, 32, size, takes_over, unused)
        self.add(path, inline_at, inline_at + inline, takes_over, unused)
        for chunk in (*record.get("forgotten", ()), *record.get("lost", ())):
            self.places.pop(chunk, None)
        moves = record.get("refs", ())
        self.refs.update((name, new) for name, _, new in moves)
        # The first ref move of a record that holds a commit goes to that commit, so its id needs no hash.
        for data, _ in record.get("commits", ()):
            self.commits[moves[0][2]] = unpack(data)

    def add(self, file: Path, at: int, end: int, takes_over: bool, unused: set) -> None:
        with file.open("rb") as source:
            while at < end:
                source.seek(at)
                head = source.read(32)
                if head[:4] != b"DREC":
                    return  # the footer
                _, recipe, element, _, count, deltas, _, _, size, _, _ = struct.unpack("<4xBBBBHBBIIfQ", head)
                rest = source.read(count * 36 + (count * 32 if deltas else 0))
                members = list(struct.iter_unpack("<32sI", rest[: count * 36]))
                bases = [rest[i : i + 32] for i in range(count * 36, len(rest), 32)]
                place = (file, at + 32 + len(rest), size, recipe, element, members, bases)
                for chunk, _ in members:
                    if chunk not in unused and (takes_over or chunk not in self.places):
                        self.places[chunk] = place
                at += 32 + len(rest) + size

    def chunk(self, chunk: bytes) -> bytes:
        file, at, size, recipe, element, members, bases = self.places[chunk]
        if self.last[0] != (file, at):
            with file.open("rb") as source:
                source.seek(at)
                payload = source.read(size)
            below = b"".join(map(self.chunk, bases))
            plain = decode(recipe, element, payload, sum(length for _, length in members), below)
            self.last = ((file, at), plain)  # a record often holds many small chunks, asked for one after another
        before = [member for member, _ in members].index(chunk)
        start = sum(length for _, length in members[:before])
        return self.last[1][start : start + members[before][1]]

    def has(self, chunk: bytes) -> bool:
        return chunk in self.places and all(map(self.has, self.places[chunk][6]))

    def tensors(self, commit: list):
        """Name, type, shape and a function that yields the bytes, for every tensor of a commit."""
        for _, part, *_ in commit[7]:
            for group in map(unpack, map(self.chunk, unpack(self.chunk(part))[3])):
                ids = [group[2][i : i + 32] for i in range(0, len(group[2]), 32)]
                inline, lengths = list(group[3]), list(group[5])
                for name, dtype, shape, period, piece in unpack(self.chunk(group[1]))[1]:
                    nbytes = ITEMSIZE.get(dtype, 1) * int(np.prod(shape, dtype=object))
                    rows, rest = divmod(nbytes, period or 1)
                    own = len(lengths.pop(0)) if piece and not period else 0  # chunks have lengths of their own
                    count = rows * -(-period // piece) + -(-rest // piece) if period else own
                    yield name, dtype, shape, nbytes, [] if piece else [inline.pop(0)], ids[:count]
                    ids = ids[count:]


def extract(store: Store, commit: list, target: Path) -> None:
    header, offset, tensors = {}, 0, []
    for name, dtype, shape, nbytes, plain, chunks in store.tensors(commit):
        if not all(map(store.has, chunks)):
            print(f"lost: {name}", file=sys.stderr)
            continue
        tensors.append((plain, chunks))
        # What safetensors has no word for is kept as bytes.
        form = (CODES[dtype], shape) if dtype in CODES else ("U8", [*shape, ITEMSIZE.get(dtype, 1)])
        header[name] = {"dtype": form[0], "shape": form[1], "data_offsets": [offset, offset + nbytes]}
        offset += nbytes
    text = json.dumps(header).encode()
    with target.open("xb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for plain, chunks in tensors:
            for piece in plain or map(store.chunk, chunks):
                out.write(piece)


def find(store: Store, ref: str) -> list:
    named = store.refs.get(f"heads/{ref}") or store.refs.get(f"tags/{ref}")
    found = [named] if named else [commit for commit in store.commits if commit.hex().startswith(ref)]
    if len(found) != 1:
        sys.exit(f"{ref!r} names {len(found)} commits; leave it out to see them all")
    return store.commits[found[0]]


def main(arguments: list[str]) -> None:
    if len(arguments) not in (1, 3):
        sys.exit(__doc__)
    np.seterr(all="ignore")  # numbers wrap and overflow by design
    store = Store(Path(arguments[0]))
    if len(arguments) == 3:
        extract(store, find(store, arguments[1]), Path(arguments[2]))
        return
    for name, commit in sorted(store.refs.items()):
        if commit is not None:
            print(f"{name} {commit.hex()}")
    for identity, commit in store.commits.items():
        print(f"commit {identity.hex()} step {commit[3]} {commit[5]} {commit[6]}")


if __name__ == "__main__":
    main(sys.argv[1:])
