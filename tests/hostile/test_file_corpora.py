"""Every file of the corpora gets its exact error, without going on for ever; what is odd but sound is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import gguf_corpus
import onnx_corpus
import pytest
from damage import Damage, Sound
from patience import ends

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.sniff import read_spans
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Span, TensorSpan, check_tiling

CORPORA = {"gguf": gguf_corpus, "onnx": onnx_corpus}
DAMAGED = [pytest.param(case, id=ascii(f"{name}: {case.label}")) for name, c in CORPORA.items() for case in c.damaged()]
SOUND = [pytest.param(case, id=ascii(f"{name}: {case.label}")) for name, c in CORPORA.items() for case in c.sound()]

MEGABYTES = 40


def spans_of(path: Path) -> tuple[Span, ...]:
    with open_source(str(path)) as file:
        return read_spans(file)


@ends
@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_gets_its_exact_error(damage: Damage, tmp_path: Path) -> None:
    (target := tmp_path / "m").write_bytes(damage.raw)
    with pytest.raises(FormatError) as caught:
        spans_of(target)
    message = str(caught.value)
    assert message.startswith(f"{target}: {damage.text}")
    assert type(caught.value) is damage.error
    assert message.isprintable()
    assert len(message) < 700


@pytest.mark.parametrize("good", SOUND)
def test_odd_but_sound_files_are_read(good: Sound, tmp_path: Path) -> None:
    (target := tmp_path / "m").write_bytes(good.raw)
    spans = spans_of(target)
    check_tiling(spans, len(good.raw), "m")
    assert tuple(span.name for span in spans if isinstance(span, TensorSpan)) == good.names


@pytest.mark.parametrize(
    ("head", "size", "text"),
    [
        (
            gguf_corpus.gguf([gguf_corpus.key(b"k", gguf_corpus.TEXT, gguf_corpus.u64(200_000_000))]),
            300_000_000,
            "key 'k' at byte 45; expected an end by byte 100000000, found 200000045",
        ),
        (
            onnx_corpus.GOOD,
            1 << 31,
            "the size of the model at byte 0; expected at most 2147483647 bytes, found 2147483648",
        ),
    ],
)
def test_files_beyond_a_limit_of_size(head: bytes, size: int, text: str, tmp_path: Path) -> None:
    with (target := tmp_path / "m").open("wb") as file:
        file.write(head)
        file.truncate(size)
    with pytest.raises(LimitError) as caught:
        spans_of(target)
    assert str(caught.value) == f"{target}: {text}"


@pytest.mark.parametrize("label", ["gguf: more than two million texts", "onnx: a million dims"])
def test_the_largest_cases_take_little_memory(label: str, tmp_path: Path) -> None:
    (case,) = (case for param in DAMAGED if param.id == ascii(label) and (case := param.values[0]))
    assert isinstance(case, Damage)
    (target := tmp_path / "m").write_bytes(case.raw)
    tracemalloc.start()
    with pytest.raises(FormatError):
        spans_of(target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEGABYTES << 20


def test_the_corpora_are_large_and_their_labels_are_distinct() -> None:
    assert len(DAMAGED) >= 130
    assert len({param.id for param in (*DAMAGED, *SOUND)}) == len(DAMAGED) + len(SOUND)
