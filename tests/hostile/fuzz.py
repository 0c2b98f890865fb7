"""Coverage-guided fuzzing of whatever reads bytes, by hand: ``python fuzz.py TARGET [LIBFUZZER OPTION...]``.

Needs ``pip install atheris``. Without options it runs for a minute; ``-max_total_time=SECONDS`` or ``-runs=NUMBER`` say
otherwise, and a folder keeps the corpus from one run to the next. What fails is left in the folder as ``crash-*``, and
``python fuzz.py TARGET crash-...`` shows it again. Without a TARGET the targets are named.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris
import numpy

HERE = Path(__file__).parent
MOST_BYTES, SECONDS = 4096, 60
SCRATCH = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "formats"), str(HERE.parent / "codec"), str(HERE.parent)]

with atheris.instrument_imports(include=["deltackpt"]):
    import test_mutations as files
    import test_safetensors_mutations as safetensors
    import test_torch_mutations as pytorch
    from codec_cases import PAIRS, base_for, decoded, run_recipe
    from mutants import read_or_refused

    from deltackpt.errors import DeltackptError
    from deltackpt.skeleton.capture import capture
    from deltackpt.skeleton.read import read_skeleton

Check = Callable[[bytes], object]


def _read_or_refused(action: Callable[[], object]) -> None:
    refusal = ""
    try:
        action()
    except DeltackptError as error:
        refusal = str(error)
    assert not refusal or refusal.isprintable()


def _skeleton(raw: bytes) -> None:
    _read_or_refused(lambda: read_skeleton(raw, "part"))


def _skeletons() -> list[bytes]:
    states = ({"model": pytorch.small_state()}, {"a": [1, 2.5, {(1, "x"): None}], "b": {1 << 200: {frozenset({3})}}})
    return [part.skeleton for state in states for part in capture(state).parts]


PLAIN, BASE = bytes(range(64)) * 4, bytes(range(1, 65)) * 4


def _payload(raw: bytes) -> None:
    """The first byte chooses recipe and element; the rest is a payload."""
    recipe, element = PAIRS[raw[0] % len(PAIRS)] if raw else PAIRS[0]
    _read_or_refused(lambda: decoded(recipe, element, raw[1:], len(PLAIN), base_for(recipe, BASE)))


def _payloads() -> list[bytes]:
    return [
        bytes([at]) + run_recipe(recipe, element, PLAIN, base_for(recipe, BASE))
        for at, (recipe, element) in enumerate(PAIRS)
    ]


def _npz() -> list[bytes]:
    """Plain and packed archives, and an array by itself."""
    arrays = {"w": numpy.arange(6, dtype="<f4").reshape(2, 3), "t": numpy.array(["a", "bc"]), "n": numpy.array(2)}
    found = []
    for write in (numpy.savez, numpy.savez_compressed):
        write(raw := io.BytesIO(), **arrays)
        found.append(raw.getvalue())
    numpy.save(raw := io.BytesIO(), arrays["w"].T)
    return [*found, raw.getvalue()]


def _index(number: int) -> tuple[Check, Sequence[bytes]]:
    folder, index = files.FOLDERS[number]
    return lambda raw: files.check_folder(((folder, index), raw)), [folder[index]]


def targets() -> dict[str, tuple[Check, Sequence[bytes]]]:
    """By name: what must hold for all bytes, and the sound ones to begin with."""
    header, archive = safetensors.Scratch(SCRATCH.fileno()), pytorch.Scratch(SCRATCH.fileno())
    return {
        "safetensors": (lambda raw: safetensors.check(header, raw), safetensors.seeds()),
        "pytorch": (archive.reading_of, pytorch.seeds()),
        "gguf": (lambda raw: read_or_refused(files.READERS["gguf"], raw), files.GGUF),
        "onnx": (lambda raw: read_or_refused(files.READERS["onnx"], raw), files.ONNX),
        "tensorflow": _index(0),
        "zarr": _index(1),
        "zarr-2": _index(2),
        "onnx-data": _index(3),
        "zarr-shards": _index(4),
        "dcp": _index(5),
        "shard-index": _index(6),
        "npz": (archive.reading_of, _npz()),
        "skeleton": (_skeleton, _skeletons()),
        "recipes": (_payload, _payloads()),
    }


def main(arguments: list[str]) -> None:
    known = targets()
    if not arguments or arguments[0] not in known:
        sys.exit(f"which one? {' '.join(known)}")
    check, seeds = known[arguments[0]]

    def once(raw: bytes) -> None:
        check(raw)

    with tempfile.TemporaryDirectory() as folder:
        for at, seed in enumerate(seeds):
            Path(folder, str(at)).write_bytes(seed)
        wanted = arguments[1:] or [f"-max_total_time={SECONDS}"]
        # A single file is tried by itself, without a corpus.
        corpus = [] if any(map(os.path.isfile, wanted)) else [folder]
        atheris.Setup([sys.argv[0], f"-max_len={MOST_BYTES}", *wanted, *corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
