"""The head of the field as one native torch function for training on a CPU: twin of `TorchField.head` over samples of many frames.

Samples outside the audio region skip the audio branch, whose value is a constant there; the gradients of the networks, of the frames'
biases and of both grids are exact all the same. So is that of the positions, through the spatial grid and through the gates of both
regions; it is computed only where positions require a gradient.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from renderer.errors import BadInput
from renderer.field.torch_field import HeadBiases, HeadSamples
from renderer.field.training_library import (
    HEAD_TENSORS,
    HeadConfigStruct,
    HeadTensorsStruct,
    RegionStruct,
    call,
    floats,
    grid_levels,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from renderer.field.config import FieldConfig, RegionConfig


class Parameters(Protocol):
    """Tensors by the names of `renderer.field.parameters`; a TorchField is one."""

    def __getitem__(self, name: str) -> Tensor: ...


class _Call(NamedTuple):
    """What a forward pass needs besides tensors."""

    head: NativeHead
    ends: Sequence[int]
    keep: bool


class _Lease:
    """A native run, lent to one forward pass and its backward passes; it goes back to the pool with the last reference."""

    def __init__(self, head: NativeHead) -> None:
        self.head = head  # a head that is dropped first would destroy its pool without this run
        self.handle = head.pool.pop() if head.pool else call("head_create", ctypes.byref(head.structure))
        weakref.finalize(self, head.pool.append, self.handle)


class NativeHead:
    """Evaluates the head of a field of this configuration.

    `dtype` is the precision of the hidden layers: bfloat16 is used where the instruction set multiplies it (v4_bf16), else float32.
    """

    def __init__(self, config: FieldConfig, dtype: torch.dtype = torch.bfloat16) -> None:
        if config.hidden % 16:
            raise BadInput(f"hidden width {config.hidden}: the native head needs a multiple of 16")
        self.config, self.dtype = config, dtype
        levels = [ctypes.cast(grid_levels(g), ctypes.POINTER(grid_levels(g)._type_)) for g in (config.spatial_grid, config.audio_grid)]
        self.structure = HeadConfigStruct(
            (ctypes.c_float * 3)(*config.head_centre),
            0.5 / config.head_half_extent,
            _region(config.audio_region),
            _region(config.eye_region),
            *levels,
            config.spatial_grid.n_levels,
            config.audio_grid.n_levels,
            config.hidden,
        )
        self.pool: list[int] = []
        """Runs at rest; each holds the memory of the largest batch it has seen."""
        weakref.finalize(self, _destroy, self.pool)

    def __call__(self, positions: Float[Tensor, "n 3"], ends: Sequence[int], field: Parameters, biases: HeadBiases) -> HeadSamples:
        """Values at head-frame `positions`, frame after frame: those up to `ends[k]` belong to the frame of row k of `biases`.

        Differentiable in the positions, the biases, the networks and both grids; a grid's gradient is added to its `grad` in place
        where there is one already, as by `native_ops.encode`.
        """
        density2 = field["head.density2.weight"]
        tensors = (
            field["head.spatial_grid"],
            field["head.audio_grid"],
            *(field[f"head.{layer}.weight"] for layer in ("ambient0", "ambient1", "ambient2", "density0", "density1")),
            density2[:1],
            field["head.colour0.weight"] @ density2[1:],
            field["head.colour1.weight"],
            *biases,
        )
        self._check(positions, ends, tensors)
        keep = torch.is_grad_enabled() and any(t.requires_grad for t in (positions, *tensors))
        return HeadSamples(*_Head.apply(_Call(self, ends, keep), positions, *tensors))  # type: ignore[no-untyped-call]

    def _check(self, positions: Tensor, ends: Sequence[int], tensors: tuple[Tensor, ...]) -> None:
        config = self.config
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise BadInput(f"positions {tuple(positions.shape)}: [n, 3] is needed")
        ascending = all(a <= b for a, b in zip((0, *ends), ends, strict=False))
        if not ascending or (ends[-1] if ends else 0) != len(positions):
            raise BadInput(f"ends {list(ends)} must ascend to the number of samples, {len(positions)}")
        for name, tensor in zip(HEAD_TENSORS[-4:], tensors[-4:], strict=True):
            if tensor.shape != (len(ends), config.hidden):
                raise BadInput(f"{name} {tuple(tensor.shape)}: {(len(ends), config.hidden)} is needed")
        for name, tensor, grid in zip(HEAD_TENSORS, tensors, (config.spatial_grid, config.audio_grid), strict=False):
            if tensor.shape != (grid.n_rows, 2):
                raise BadInput(f"{name} {tuple(tensor.shape)}: {(grid.n_rows, 2)} is needed")


def _region(region: RegionConfig) -> RegionStruct:
    return RegionStruct((ctypes.c_float * 3)(*region.centre), (ctypes.c_float * 3)(*region.radii), region.softness)


def _destroy(pool: list[int]) -> None:
    while pool:
        call("head_destroy", pool.pop())


def _addresses(tensors: Sequence[Tensor]) -> HeadTensorsStruct:
    return HeadTensorsStruct(*(t.data_ptr() for t in tensors))


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: _Call, positions: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        head, n = settings.head, len(positions)
        positions = floats(positions, "positions")
        dense = [floats(t, name) for t, name in zip(tensors, HEAD_TENSORS, strict=True)]
        sigmas, rgbs, ambient = torch.empty(n), torch.empty(n, 3), torch.empty(n, 2)
        ends = (ctypes.c_int64 * len(settings.ends))(*settings.ends)
        lease = _Lease(head)
        fast = head.dtype == torch.bfloat16
        arguments = (positions, ends, len(ends), fast, settings.keep, sigmas, rgbs, ambient, threads())
        call("head_forward", lease.handle, ctypes.byref(_addresses(dense)), *arguments)
        if settings.keep:
            # The tables are not saved for backward: their optimiser changes them in place without telling autograd.
            ctx.lease, ctx.tables, ctx.table_rows = lease, tensors[:2], dense[:2]
            ctx.save_for_backward(positions, sigmas, rgbs, *dense[2:])
        return sigmas, rgbs, ambient

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        positions, sigmas, rgbs, *dense = ctx.saved_tensors
        incoming = [floats(g, "the gradient") for g in grads]
        returned: list[Tensor | None] = []
        buffers: list[Tensor] = []
        for table in ctx.tables:
            in_place = table.is_leaf and table.grad is not None and table.grad.is_contiguous()
            buffers.append(table.grad if in_place else torch.zeros_like(table))
            returned.append(None if in_place else buffers[-1])
        gradients = [torch.empty_like(t) for t in dense]
        grad_positions = torch.empty_like(positions) if ctx.needs_input_grad[1] else None
        weights = _addresses([*ctx.table_rows, *dense])
        call(
            "head_backward", ctx.lease.handle, ctypes.byref(weights), sigmas, rgbs, *incoming,
            ctypes.byref(_addresses([*buffers, *gradients])), positions, grad_positions, threads(),
        )  # fmt: skip
        return None, grad_positions, *returned, *gradients
