"""Loading into a live quantised tensor, one dense part after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from deltackpt.skeleton import torch_tensors
from deltackpt.skeleton.nodes import QUANTIZED_PARTS, QuantizedTensor, is_packed
from deltackpt.skeleton.torch_quantized import affine, quantized_form, quantized_parts, unreadable
from deltackpt.tensor.dtype import DType

_NUMBERS = ("scale", "zero_point")


@dataclass(frozen=True, slots=True)
class LivePart:
    """A dense part of a live quantised tensor."""

    whole: torch.Tensor
    name: str

    @property
    def dense(self) -> torch.Tensor:
        return dict(quantized_parts(self.whole))[self.name]

    @property
    def is_number(self) -> bool:
        """Whether PyTorch keeps this as a plain number and not as a tensor."""
        return self.name in _NUMBERS


def live_parts(tensor: torch.Tensor) -> Iterator[LivePart]:
    """What a quantised tensor consists of."""
    _, scheme, _, _ = quantized_form(tensor)
    return (LivePart(tensor, name) for name in QUANTIZED_PARTS[scheme])


def table_form(part: LivePart) -> tuple[DType | str, tuple[int, ...]]:
    """Element type and shape as a tensor table has them; no type for what cannot be read."""
    reason = unreadable(part.whole)
    return (reason, ()) if reason else torch_tensors.table_form(part.dense)


def objection(part: LivePart) -> str | None:
    """Why the part cannot be replaced; None when it can."""
    if part.is_number and is_packed(quantized_form(part.whole)[0]):
        return f"of packed {part.whole.dtype}, whose scale PyTorch cannot change"
    return unreadable(part.whole) or torch_tensors.objection(part.whole)


def difference(stored: QuantizedTensor, part: LivePart) -> str | None:
    """How the whole differs in what its parts do not tell, or None."""
    there, here = (stored.dtype, stored.scheme, stored.axis, stored.shape), quantized_form(part.whole)
    return None if there == here else f"stored {_shown(*there)}, target {_shown(*here)}"


def overwrite(part: LivePart, plain: memoryview) -> None:
    """Replace a part of a live tensor with C-order bytes."""
    dense = part.dense
    torch_tensors.overwrite(dense, plain)
    if part.is_number:
        _set_number(part.whole, part.name, dense.item())


def _set_number(tensor: torch.Tensor, name: str, number: float) -> None:
    scale = number if name == "scale" else tensor.q_scale()
    zero_point = int(number) if name == "zero_point" else tensor.q_zero_point()
    bare = affine(scale, zero_point, tensor.dtype, tensor.device)
    bare.set_(tensor.untyped_storage(), int(tensor.storage_offset()), tensor.shape, tensor.stride())
    with torch.no_grad():
        # A copy takes over the scale; the values are copied to where they are.
        tensor.copy_(bare)


def _shown(dtype: str, scheme: str, axis: int | None, shape: tuple[int, ...]) -> str:
    return f"{dtype} {list(shape)} {scheme}" + ("" if axis is None else f" along {axis}")
