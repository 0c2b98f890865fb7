"""What every reader must give: spans from which the file is built again, and most of its tensor bytes typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deltackpt import Store
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.sniff import read_spans
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Span, TensorSpan, check_tiling


def typed(spans: Sequence[Span]) -> dict[str, TensorSpan]:
    """The tensors of a file by name; names are distinct."""
    tensors = [span for span in spans if isinstance(span, TensorSpan)]
    found = {span.name: span for span in tensors}
    assert len(found) == len(tensors)
    return found


def contents(path: Path) -> dict[str, tuple[TensorSpan, bytes]]:
    """Each tensor of a file that is recognised by its content, with its plain bytes; the file's tiling is checked."""
    with open_source(str(path)) as file:
        spans = read_spans(file)
        check_tiling(spans, file.size, file.name)
        return {name: (span, bytes(FileTensor(file, span).read(0, span.length))) for name, span in typed(spans).items()}


def check_round_trip(store: Store, path: Path) -> None:
    """Committed and checked out, the file is the same."""
    store.commit_path(path)
    store.checkout("main", out := path.with_name(f"{path.name}.again"))
    assert out.read_bytes() == path.read_bytes()
