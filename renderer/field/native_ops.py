"""Native training operators on a CPU: the hash grid, marching and volume rendering as torch functions.

Twins of `hash_grid.encode_reference` and of the functions of `rays`, with the same arguments, conventions and gradients, in float32.
The library is libvisavis_training (sources in renderer/native/training). This module needs torch; the live server never imports it.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, cast

import torch

from renderer.errors import BadInput
from renderer.field import grid_table
from renderer.field.rays import PackedSamples
from renderer.field.training_library import (
    AdamStepStruct,
    MarchBoxStruct,
    available,
    available_instruction_sets,
    call,
    floats,
    grid_levels,
    instruction_set,
    select_instruction_set,
    set_threads,
    threads,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor

    from renderer.field.config import FieldConfig, GridConfig

__all__ = [
    "GridTable",
    "PackedSamples",
    "available",
    "available_instruction_sets",
    "composite",
    "distortion",
    "encode",
    "instruction_set",
    "march",
    "select_instruction_set",
    "set_threads",
]

# --- hash grid -------------------------------------------------------------------------------------------------------------


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, table: Tensor, grid: GridConfig) -> Tensor:
        x, table = floats(x.detach(), "x"), floats(table.detach(), "table")
        if x.ndim != 2 or x.shape[1] != grid.n_dims or table.shape != (grid.n_rows, 2):
            raise BadInput(f"x {tuple(x.shape)} and table {tuple(table.shape)} do not fit a grid of {(grid.n_rows, 2)}, {grid.n_dims}D")
        out = torch.empty(len(x), grid.n_outputs)
        call("encode", x, len(x), grid.n_dims, table, grid_levels(grid), grid.n_levels, out, threads())
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, GridConfig], output: Tensor) -> None:
        x, table, ctx.grid = inputs
        # Not saved for backward: the optimiser below changes the table in place without telling autograd.
        ctx.x, ctx.table = x.detach().contiguous(), table

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grid, x, table = ctx.grid, ctx.x, ctx.table
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        buffer, grad_table = None, None
        if ctx.needs_input_grad[1]:
            if table.is_leaf and table.grad is not None and table.grad.is_contiguous():
                buffer = table.grad
            else:
                buffer = grad_table = torch.zeros_like(table)
        grad_out = floats(grads[0], "the gradient")
        rows = table.detach().contiguous()
        arguments = (x, len(x), grid.n_dims, rows, grid_levels(grid), grid.n_levels, grad_out, buffer, grad_x, threads())
        call("encode_backward", *arguments)
        return grad_x, grad_table, None


def encode(x: Float[Tensor, "n dims"], table: Float[Tensor, "rows 2"], grid: GridConfig) -> Float[Tensor, "n features"]:
    """Interpolate every level at `x`; differentiable in both arguments.

    If `table` is a leaf that has a `grad` already (see `GridTable`), its gradient is added there in place, which spares a table-sized
    allocation a call; `torch.autograd.grad` with respect to such a table sees nothing.
    """
    return cast("Tensor", _Encode.apply(x, table, grid))  # type: ignore[no-untyped-call]


class GridTable(grid_table.GridTable):
    """The same optimiser with a native step, which costs what the batch touched."""

    def _move(self, lr: float, betas: tuple[float, float], eps: float) -> None:
        b1, b2 = betas
        step = AdamStepStruct(lr, b1, b2, eps, 1.0 / (1.0 - b1**self.n_steps), 1.0 / (1.0 - b2**self.n_steps))
        table, size = self.table.detach(), len(self.table)
        call("adam", table, self.grad, self.first_moment, self.second_moment, size, ctypes.byref(step), threads())

    def _move_average(self, average: Tensor, decay: float) -> None:
        call("average", self.table.detach(), average, self.table.numel(), decay, threads())


# --- rays ------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def march(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    occupancy: Bool[Tensor, "z y x"] | UInt8[Tensor, "z y x"],
    config: FieldConfig,
    jitter: Float[Tensor, " rays"] | None = None,
) -> PackedSamples:
    """Twin of `rays.march_reference`, not differentiable."""
    resolution, extent, n_rays = config.occupancy_resolution, config.head_half_extent, len(rays_o)
    if tuple(occupancy.shape) != (resolution,) * 3 or occupancy.dtype not in (torch.bool, torch.uint8):
        raise BadInput(f"occupancy {occupancy.dtype} {tuple(occupancy.shape)}: bool or uint8 of {(resolution,) * 3} is needed")
    rays_o, rays_d, occupancy = floats(rays_o, "rays_o"), floats(rays_d, "rays_d"), occupancy.contiguous()
    offsets = torch.full((n_rays,), 0.5) if jitter is None else floats(0.5 + jitter, "jitter")
    if rays_o.shape != (n_rays, 3) or rays_d.shape != (n_rays, 3) or offsets.shape != (n_rays,):
        raise BadInput(f"rays_o {tuple(rays_o.shape)}, rays_d {tuple(rays_d.shape)}, jitter {tuple(offsets.shape)} do not fit")
    centre = torch.tensor(config.head_centre)
    corners = [(ctypes.c_float * 3)(*c.tolist()) for c in (centre - extent, centre + extent, centre)]
    box = MarchBoxStruct(*corners, 0.5 / extent, config.step_size, resolution, config.max_samples)
    slots, counts = torch.empty(n_rays, config.max_samples), torch.empty(n_rays, dtype=torch.int64)
    call("march", rays_o, rays_d, offsets, n_rays, occupancy, ctypes.byref(box), slots, counts, threads())
    starts = counts.cumsum(0) - counts
    n = int(counts.sum())
    positions, distances, ray_indices = torch.empty(n, 3), torch.empty(n), torch.empty(n, dtype=torch.int64)
    packed = (positions, distances, ray_indices)
    call("pack", rays_o, rays_d, n_rays, slots, config.max_samples, starts, counts, *packed, threads())
    return PackedSamples(positions, distances, ray_indices, starts, counts)


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sigmas: Tensor, rgbs: Tensor, starts: Tensor, counts: Tensor, step: float) -> tuple[Tensor, ...]:
        sigmas, rgbs = floats(sigmas, "sigmas"), floats(rgbs, "rgbs")
        n, n_rays = len(sigmas), len(starts)
        if rgbs.shape != (n, 3):
            raise BadInput(f"sigmas {tuple(sigmas.shape)} and rgbs {tuple(rgbs.shape)} do not fit")
        colours, opacity, weights = torch.empty(n_rays, 3), torch.empty(n_rays), torch.empty(n)
        call("composite", sigmas, rgbs, starts, counts, n_rays, step, colours, opacity, weights, threads())
        ctx.save_for_backward(sigmas, rgbs, starts, counts, weights)
        ctx.step = step
        return colours, opacity, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        sigmas, rgbs, starts, counts, weights = ctx.saved_tensors
        incoming = [floats(g, "the gradient") for g in grads]
        grad_sigmas, grad_rgbs = torch.empty_like(sigmas), torch.empty_like(rgbs)
        outputs = (*incoming, grad_sigmas, grad_rgbs)
        call("composite_backward", sigmas, rgbs, weights, starts, counts, len(starts), ctx.step, *outputs, threads())
        return grad_sigmas, grad_rgbs, None, None, None


def composite(
    sigmas: Float[Tensor, " n"], rgbs: Float[Tensor, "n 3"], samples: PackedSamples, step: float
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"], Float[Tensor, " n"]]:
    """Twin of `rays.composite_reference`; all three outputs are differentiable in `sigmas` and `rgbs`.

    Every sample must belong to a ray of `samples`.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", _Composite.apply(sigmas, rgbs, samples.starts, samples.counts, step))  # type: ignore[no-untyped-call]


class _Distortion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, distances: Tensor, starts: Tensor, counts: Tensor, step: float) -> Tensor:
        weights, losses = floats(weights, "weights"), torch.empty(len(starts))
        call("distortion", weights, distances, starts, counts, len(starts), step, losses, threads())
        ctx.save_for_backward(weights, distances, starts, counts)
        ctx.step = step
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weights, distances, starts, counts = ctx.saved_tensors
        grad_weights, incoming = torch.empty_like(weights), floats(grads[0], "the gradient")
        arguments = (weights, distances, starts, counts, len(starts), ctx.step, incoming, grad_weights, threads())
        call("distortion_backward", *arguments)
        return grad_weights, None, None, None, None


def distortion(weights: Float[Tensor, " n"], samples: PackedSamples, step: float) -> Float[Tensor, " rays"]:
    """Distortion loss of each ray (mip-NeRF 360, equation 15), distances in head units; differentiable in `weights`.

    sum_ij w_i w_j |t_i - t_j| + step / 3 * sum_i w_i^2.
    """
    return cast("Tensor", _Distortion.apply(weights, samples.distances, samples.starts, samples.counts, step))  # type: ignore[no-untyped-call]
