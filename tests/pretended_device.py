"""A device beside the CPU for machines that have none: its tensors say that they lie elsewhere, and are computed on the CPU.

Whatever mixes them with tensors of the CPU fails as it would between a CPU and a GPU, and more strictly: no index on another device
either. So a test finds each constant that was made on the wrong side, and values stay real, with everything that depends on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

if TYPE_CHECKING:
    from typing import Self

aten = torch.ops.aten
DEVICE = torch.device("lazy")
"""A name that torch knows and nothing implements, and whose gradients autograd computes in the caller's thread."""
CROSSING = (aten._to_copy.default, aten.copy_.default)
"""What may take tensors of both sides."""


class _Elsewhere(torch.Tensor):
    """A tensor that holds one of the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> _Elsewhere:
        wrapper = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        wrapper.held = held
        return wrapper

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(function, args, kwargs or {})


class PretendedDevice(TorchDispatchMode):
    """While entered, tensors can be sent to `DEVICE` and made there."""

    def __enter__(self) -> Self:
        self._before = torch._C._only_lift_cpu_tensors()
        # Else torch.tensor and new_tensor would send their numbers over behind this mode's back.
        torch._C._set_only_lift_cpu_tensors(True)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(self._before)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(function, args, kwargs or {})


def _call(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, torch.Tensor)]
    wrappers = [tensor for tensor in tensors if isinstance(tensor, _Elsewhere)]
    # A number of the CPU goes with every device.
    strangers = [tensor for tensor in tensors if not isinstance(tensor, _Elsewhere) and tensor.ndim]
    if wrappers and strangers and function not in CROSSING:
        shapes = [tuple(tensor.shape) for tensor in strangers]
        raise RuntimeError(f"{function} mixes tensors of the CPU, of shape {shapes}, with some that lie elsewhere")
    there = bool(wrappers)
    asked = kwargs.get("device")
    if asked is not None:
        there = torch.device(asked).type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if function is aten.copy_.default:
        there = isinstance(args[0], _Elsewhere)
    by_held = {id(wrapper.held): wrapper for wrapper in wrappers}
    args, kwargs = tree_map(lambda value: value.held if isinstance(value, _Elsewhere) else value, (args, kwargs))
    result = function(*args, **kwargs)
    if not there:
        return result

    def wrapped(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        # What was changed in place is still the same tensor.
        return by_held[id(value)] if id(value) in by_held else _Elsewhere(value)

    return tree_map(wrapped, result)
