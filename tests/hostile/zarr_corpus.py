"""Damaged and hostile zarr folders, each with the error that it must get, and odd ones that are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from damage import FolderDamage, FolderSound
from google_crc32c import value as crc32c

from deltackpt.errors import FormatError, LimitError

GOOD: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4, 4],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 4]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "fill_value": 0,
}
GOOD_2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [4, 4],
    "chunks": [2, 4],
    "dtype": "<f4",
    "order": "C",
    "compressor": None,
    "filters": None,
    "fill_value": 0,
}
CHUNK = bytes(32)


def array(raw: bytes | None = None, chunk: bytes = CHUNK, **changes: Any) -> dict[str, bytes]:
    """A group with one array of one chunk; ``changes`` are made to its description, ``raw`` stands for all of it."""
    text = json.dumps(GOOD | changes).encode() if raw is None else raw
    return {"zarr.json": b'{"zarr_format":3,"node_type":"group"}', "w/zarr.json": text, "w/c/0/0": chunk}


def array_2(**changes: Any) -> dict[str, bytes]:
    return {".zgroup": b'{"zarr_format":2}', "w/.zarray": json.dumps(GOOD_2 | changes).encode(), "w/0.0": CHUNK}


def grid(*chunk_shape: object) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": chunk_shape}}


PLAIN: list[Any] = GOOD["codecs"]


def sharding(**changes: Any) -> dict[str, Any]:
    """The codec of a file with two inner chunks, each a row of 16 bytes, and an index behind them."""
    configuration = {"chunk_shape": [1, 4], "codecs": PLAIN, "index_codecs": [*PLAIN, "crc32c"], **changes}
    return {"name": "sharding_indexed", "configuration": configuration}


def index_of(*places: tuple[int, int], crc: int | None = None) -> bytes:
    """An index with its checksum, or ``crc`` for one."""
    raw = b"".join(offset.to_bytes(8, "little") + length.to_bytes(8, "little") for offset, length in places)
    return raw + (crc32c(raw) if crc is None else crc).to_bytes(4, "little")


def shards(index: bytes, **changes: Any) -> dict[str, bytes]:
    """An array with one file of two inner chunks, and that index."""
    return array(None, CHUNK + index, codecs=[sharding(**changes)])


def damaged() -> Iterator[FolderDamage]:
    for label, files, error, text in (*damaged_json(), *damaged_shapes(), *damaged_chunks(), *damaged_shards()):
        yield FolderDamage(label, files, "w/zarr.json", error, text)
    for label, changes in (
        ("no array", {"shape": 1}),
        ("a text for an order", {"order": 1}),
        ("chunks of text", {"chunks": ["2", 4]}),
    ):
        text = "w/.zarray: the metadata at byte 0; expected the JSON of an array, found "
        yield FolderDamage(f"version 2: {label}", array_2(**changes), "w/.zarray", FormatError, text)
    text = "w/.zarray: the metadata at byte 0; expected a chunk shape of 2 dimensions, found 1"
    yield FolderDamage("version 2: another rank", array_2(chunks=[2]), "w/.zarray", FormatError, text)


Case = tuple[str, dict[str, bytes], type[FormatError], str]


def damaged_json() -> Iterator[Case]:
    text = "w/zarr.json: the metadata at byte 0; expected the JSON of an array, found "
    for label, raw in (
        ("nothing", b""),
        ("no JSON", b"{abc}"),
        ("a list", b"[]"),
        ("cut off", json.dumps(GOOD).encode()[:-1]),
        ("followed by more", json.dumps(GOOD).encode() + b"{}"),
        ("of another encoding", json.dumps(GOOD).encode("utf-16")),
        ("not UTF-8", json.dumps(GOOD | {"node_type": "x"}).encode().replace(b'"x"', b'"\xff"')),
        ("without a type", json.dumps({"zarr_format": 3}).encode()),
    ):
        yield f"a description: {label}", array(raw), FormatError, text
    deep = (
        "w/zarr.json: the metadata at byte 0; expected JSON that nests less deeply, found the limit of the interpreter"
    )
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        nested = opening * 1_000_000 + "1" + closing * 1_000_000
        for key in ("attributes", "chunk_grid"):
            raw = json.dumps(GOOD | {key: 0}).replace(f'"{key}": 0', f'"{key}": {nested}').encode()
            yield f"a million {opening} in {key}", array(raw), LimitError, deep
    for field in ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs"):
        yield (
            f"a description without {field}",
            array(json.dumps({k: v for k, v in GOOD.items() if k != field}).encode()),
            FormatError,
            text,
        )
        yield f"a description with a null {field}", array(**{field: None}), FormatError, text
    yield "a grid without a shape", array(chunk_grid={"name": "regular"}), FormatError, text
    yield (
        "an order of bytes that is a number",
        array(codecs=[{"name": "bytes", "configuration": {"endian": 1}}]),
        FormatError,
        text,
    )


def damaged_shapes() -> Iterator[Case]:
    text = "w/zarr.json: the metadata at byte 0; expected the JSON of an array, found "
    for shape in ([4.0, 4], ["4", 4], [[4], 4], {"0": 4}, [None, 4]):
        yield f"shape {shape}", array(shape=shape), FormatError, text
    text = "w/zarr.json: the metadata at byte 0; expected a chunk shape of 2 dimensions, found "
    for chunk_shape in ((), (2,), (2, 4, 1)):
        yield f"a chunk of {len(chunk_shape)} dimensions", array(chunk_grid=grid(*chunk_shape)), FormatError, text
    text = "w/zarr.json: the metadata at byte 0; expected no extent below 0, and none of a chunk below 1, found "
    for chunk_shape in ((0, 4), (-2, 4), (2, -(1 << 70))):
        yield f"a chunk of {chunk_shape}", array(chunk_grid=grid(*chunk_shape)), FormatError, text
    yield "a negative shape", array(shape=[-4, 4]), FormatError, text
    text = "w/zarr.json: shape at byte 0; expected at most 9223372036854775807 bytes, found "
    for shape, chunk_shape in (((4, 4), (1 << 32, 1 << 32)), ((4, 4), (1 << 100, 1)), ((1 << 62, 1 << 62), (2, 4))):
        yield f"shape {shape} in {chunk_shape}", array(shape=shape, chunk_grid=grid(*chunk_shape)), LimitError, text
    text = "w/zarr.json: shape at byte 0; expected at most 64 dimensions, found 65"
    yield "65 dimensions", array(shape=[1] * 65, chunk_grid=grid(*[1] * 65)), LimitError, text


def damaged_chunks() -> Iterator[Case]:
    for size in (0, 31, 33):
        text = f"w/c/0/0: the end of the chunk at byte {size}; expected 32 bytes for float32 [2, 4], found {size}"
        yield f"a chunk of {size} bytes", array(chunk=bytes(size)), FormatError, text
    text = f"w/c/0/0: the end of the chunk at byte 32; expected {1 << 52} bytes for float32 [{1 << 50}, 1]"
    yield "petabytes for a chunk", array(chunk_grid=grid(1 << 50, 1)), FormatError, text


def damaged_shards() -> Iterator[Case]:
    good = index_of((0, 16), (16, 16))
    text = "w/zarr.json: the metadata at byte 0; expected the JSON of an array, found "
    for field in ("chunk_shape", "codecs", "index_codecs"):
        codec = sharding()
        del codec["configuration"][field]
        yield f"shards without {field}", array(codecs=[codec]), FormatError, text
    text = "w/zarr.json: the metadata at byte 0; expected inner chunks that divide [2, 4], found "
    for inner in ([2, 3], [0, 4], [4, 4], [2], [-1, 4], [1 << 70, 4]):
        yield f"inner chunks of {inner}", shards(good, chunk_shape=inner), FormatError, f"{text}{inner}"
    text = "w/zarr.json: the inner chunks at byte 0; expected at most 65536 in a file, found "
    for extent in (1 << 17, 1 << 31, 1 << 60):
        files = array(codecs=[sharding(chunk_shape=[1, 1])], chunk_grid=grid(extent, 1))
        yield f"{extent} inner chunks", files, LimitError, f"{text}{extent}"
    for size in range(0, 36, 5):
        text = f"w/c/0/0: the index at byte 0; expected at least 36 bytes for 2 inner chunks, found {size}"
        yield f"shards of {size} bytes", array(None, good[:size], codecs=[sharding()]), FormatError, text
    text = "w/c/0/0: the index at byte 32; expected CRC-32C 00000007, found "
    yield "an index with a wrong checksum", shards(index_of((0, 16), (16, 16), crc=7)), FormatError, text
    text = "w/c/0/0: the index at byte 31; expected CRC-32C "
    yield "shards that are cut off", array(None, (CHUNK + good)[:-1], codecs=[sharding()]), FormatError, text
    for length in (0, 15, 17, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
        text = f"w/c/0/0: inner chunk 1 of the index at byte 16; expected 16 bytes for float32 [1, 4], found {length}"
        yield f"an inner chunk of {length} bytes", shards(index_of((0, 16), (16, length))), FormatError, text
    text = "w/c/0/0: tensor 'w/c/1/0' overlaps tensor 'w/c/0/0' at byte 15; expected offset 16, found 15"
    yield "inner chunks that overlap", shards(index_of((0, 16), (15, 16))), FormatError, text
    text = "w/c/0/0: tensor 'w/c/1/0' overlaps tensor 'w/c/0/0' at byte 0; expected offset 16, found 0"
    yield "one inner chunk twice", shards(index_of((0, 16), (0, 16))), FormatError, text
    text = "w/c/0/0: tensor 'w/c/1/0' leaves a hole after tensor 'w/c/0/0' at byte "
    for offset in (1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
        files = shards(index_of((0, 16), (offset, 16)))
        yield f"an inner chunk at {offset}", files, FormatError, f"{text}{offset}; expected offset "
    text = "w/c/0/0: the data is cut off at byte 68; expected a file of 69 bytes, found 68"
    yield "an inner chunk that reaches past the end", shards(index_of((0, 16), (53, 16))), FormatError, text


def sound() -> Iterator[FolderSound]:
    one = {"w/c/0/0": ("w/c/0/0",)}
    both = {"w/c/0/0": ("w/c/0/0", "w/c/1/0")}
    absent = ((1 << 64) - 1, (1 << 64) - 1)
    yield FolderSound("shards", shards(index_of((0, 16), (16, 16))), both)
    yield FolderSound(
        "shards in another order", shards(index_of((16, 16), (0, 16))), {"w/c/0/0": both["w/c/0/0"][::-1]}
    )
    yield FolderSound("shards with a hole", shards(index_of((0, 16), absent)), one)
    yield FolderSound("shards without any", shards(index_of(absent, absent)), {"w/c/0/0": ()})
    unchecked = shards(index_of((0, 16), (16, 16))[:-4], index_codecs=PLAIN)
    yield FolderSound("shards without a checksum", unchecked, both)
    yield FolderSound("one array", array(), one)
    yield FolderSound("one array of version 2", array_2(), {"w/0.0": ("w/0.0",)})
    for key in (
        "c/2/0",
        "c/0/1",
        "c/-1/0",
        "c/00/0",
        "c/1",
        "c/1/0/0",
        "c/0/x",
        "c/٠/0",
        "c0/0",
        "d/0/0",
        "c/0.0",
        f"c/{1 << 70}/0",
    ):
        yield FolderSound(f"a file that is no chunk: {key!a}", array() | {f"w/{key}": b"x"}, one)
    for label, changes in (
        ("big-endian", {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]}),
        ("no byte order", {"codecs": ["bytes"]}),
        ("compressed", {"codecs": [*GOOD["codecs"], {"name": "zstd", "configuration": {"level": 0}}]}),
        ("transposed", {"codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, *GOOD["codecs"]]}),
        ("shards that are compressed", {"codecs": [sharding(codecs=[*PLAIN, {"name": "gzip"}])]}),
        ("shards in shards", {"codecs": [sharding(codecs=[sharding()])]}),
        ("shards and more", {"codecs": [sharding(), {"name": "gzip"}]}),
        ("an index that is compressed", {"codecs": [sharding(index_codecs=[*PLAIN, {"name": "gzip"}])]}),
        ("an index without codecs", {"codecs": [sharding(index_codecs=[])]}),
        ("an index elsewhere", {"codecs": [sharding(index_location="middle")]}),
        ("no codecs", {"codecs": []}),
        ("another grid", {"chunk_grid": {"name": "rectangular", "configuration": {}}}),
        ("other keys", {"chunk_key_encoding": {"name": "v2"}}),
        ("another separator", {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "0"}}}),
        ("texts", {"data_type": "string"}),
        ("a type with a configuration", {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "s"}}}),
        ("transformed storage", {"storage_transformers": [{"name": "x"}]}),
        ("a later version", {"zarr_format": 4}),
        ("a group", {"node_type": "group"}),
    ):
        yield FolderSound(f"not plain: {label}", array(**changes), {})
    for label, changes in (
        ("compressed", {"compressor": {"id": "zlib"}}),
        ("filtered", {"filters": [{"id": "delta"}]}),
        ("Fortran order", {"order": "F"}),
        ("big-endian", {"dtype": ">f4"}),
        ("texts", {"dtype": "<U4"}),
        ("a structure", {"dtype": [["a", "<f4"]]}),
        ("an odd size", {"dtype": "<f3"}),
        ("another separator", {"dimension_separator": "0"}),
    ):
        yield FolderSound(f"version 2, not plain: {label}", array_2(**changes), {})
    yield FolderSound(
        "an escape in the name of an array",
        {f"\x1b{p}" if p != "zarr.json" else p: raw for p, raw in array().items()},
        {"\x1bw/c/0/0": ("\x1bw/c/0/0",)},
    )
    yield FolderSound(
        "one key twice, and the last counts",
        array(json.dumps(GOOD).replace('"shape"', '"shape": [9], "shape"').encode()),
        one,
    )
