"""Every file of the corpus gets its exact error, and the official library is asked about each one too."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open
from safetensors_corpus import Damage, Sound, damaged, entry, pack, sound

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.safetensors import layout, read_spans
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Literal, Span, check_tiling
from deltackpt.tensor.dtype import DTYPES

DAMAGED = tuple(damaged())
SOUND = tuple(sound())
every_damage = pytest.mark.parametrize("damage", DAMAGED, ids=lambda damage: ascii(damage.label))
every_sound = pytest.mark.parametrize("good", SOUND, ids=lambda good: ascii(good.label))

DOCUMENT = Path(__file__).parents[2] / "docs/format/spans.md"


def spans_of(path: Path) -> tuple[Span, ...]:
    with open_source(str(path)) as file:
        return read_spans(file)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


@every_damage
def test_damage_gets_its_exact_error(damage: Damage, target: Path) -> None:
    target.write_bytes(damage.raw)
    with pytest.raises(FormatError) as caught:
        spans_of(target)
    message = str(caught.value)
    assert type(caught.value) is damage.error
    assert message.startswith(f"{target}: {damage.text}")
    assert message.isprintable()
    assert len(message) < 700


@every_damage
def test_what_we_refuse_beyond_the_official_library_has_a_reason(damage: Damage, target: Path) -> None:
    target.write_bytes(damage.raw)
    if damage.stricter is None:
        with pytest.raises(SafetensorError), safe_open(target, "np"):
            pass
    else:
        with safe_open(target, "np") as official:
            official.keys()


def test_the_document_gives_every_reason_for_being_stricter() -> None:
    text = " ".join(DOCUMENT.read_text().split())
    assert [reason for reason in {case.stricter for case in DAMAGED} if reason and reason not in text] == []


@every_sound
def test_odd_but_sound_files_read_as_the_official_library_reads_them(good: Sound, target: Path) -> None:
    target.write_bytes(good.raw)
    header, *tensors = spans_of(target)
    (length,) = struct.unpack_from("<Q", good.raw)
    assert header == Literal(0, 8 + length)
    assert tuple(span.name for span in tensors) == good.names
    with safe_open(target, "np") as official:
        assert sorted(official.keys()) == sorted(good.names)
        for span in tensors:
            assert official.get_slice(span.name).get_shape() == list(span.shape)
            assert official.get_slice(span.name).get_dtype() == span.dtype.safetensors


def test_the_corpus_is_large_and_its_labels_are_distinct() -> None:
    assert len(DAMAGED) >= 180
    assert len({case.label for case in (*DAMAGED, *SOUND)}) == len(DAMAGED) + len(SOUND)


def test_the_first_fault_is_named_among_thousands_of_tensors(target: Path) -> None:
    tensors = {f"w{i}": entry([1], [4 * i, 4 * i + 4]) for i in range(5000)}
    tensors["w4321"] = entry([1], [4 * 4321 + 1, 4 * 4321 + 5])
    target.write_bytes(raw := pack(tensors, bytes(20000)))
    start = len(raw) - 20000 + 4 * 4321
    text = f"tensor 'w4321' leaves a hole after tensor 'w4320' at byte {start + 1}; expected offset {start}"
    with pytest.raises(FormatError, match=text):
        spans_of(target)


@pytest.mark.campaign
def test_a_million_tensors_are_read_and_more_than_the_limit_are_not(target: Path) -> None:
    def described(count: int) -> list[tuple[str, object, tuple[int, ...]]]:
        return [(f"{i:x}", DTYPES["uint8"], (1,)) for i in range(count)]

    header, spans = layout(described(1_000_000))
    target.write_bytes(header + bytes(1_000_000))
    found = spans_of(target)
    assert found == (Literal(0, len(header)), *spans)
    check_tiling(found, len(header) + 1_000_000, "the file")
    members = ",".join(
        f'"{i:x}":{{"dtype":"U8","shape":[],"data_offsets":[{i},{i + 1}]}}' for i in range((1 << 20) + 1)
    )
    target.write_bytes(pack(f"{{{members}}}".encode(), bytes((1 << 20) + 1)))
    with pytest.raises(LimitError, match="expected at most 1048576 tensors, found one more"):
        spans_of(target)
