"""Every GGUF file of the corpus gets its exact error, soon and in little memory; what is odd but sound is read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from damage import Damage, Sound
from gguf_corpus import damaged, sound

from deltackpt.errors import FormatError
from deltackpt.formats.sniff import read_spans
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Span, TensorSpan, check_tiling

DAMAGED = tuple(damaged())
SOUND = tuple(sound())


def spans_of(path: Path) -> tuple[Span, ...]:
    with open_source(str(path)) as file:
        return read_spans(file)


@pytest.mark.parametrize("damage", DAMAGED, ids=lambda damage: ascii(damage.label))
def test_damage_gets_its_exact_error(damage: Damage, tmp_path: Path) -> None:
    (target := tmp_path / "m").write_bytes(damage.raw)
    start = time.process_time()
    with pytest.raises(FormatError) as caught:
        spans_of(target)
    assert time.process_time() - start < 1
    message = str(caught.value)
    assert message.startswith(f"{target}: {damage.text}")
    assert type(caught.value) is damage.error
    assert message.isprintable()
    assert len(message) < 700


@pytest.mark.parametrize("good", SOUND, ids=lambda good: ascii(good.label))
def test_odd_but_sound_files_are_read(good: Sound, tmp_path: Path) -> None:
    (target := tmp_path / "m").write_bytes(good.raw)
    spans = spans_of(target)
    check_tiling(spans, len(good.raw), "m")
    assert tuple(span.name for span in spans if isinstance(span, TensorSpan)) == good.names


def test_the_corpus_is_large_and_its_labels_are_distinct() -> None:
    assert len(DAMAGED) >= 80
    assert len({case.label for case in (*DAMAGED, *SOUND)}) == len(DAMAGED) + len(SOUND)
