"""Training operators in plain torch for any device: the hash grid, marching and volume rendering without a loop over samples or rays.

Twins of `native_ops`, with the same arguments, conventions and gradients; what they return lies where their arguments do. The functions
of `hash_grid` and `rays` say the same in the plainest way; these spend memory and time of the order of the samples.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from renderer.errors import BadInput
from renderer.field.hash_grid import HASH_PRIMES
from renderer.field.rays import PackedSamples, march_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from renderer.field.config import FieldConfig, GridConfig

__all__ = ["PackedSamples", "composite", "distortion", "encode", "march"]

SAMPLES_AT_ONCE = 1 << 16
"""Encoded together: 16 levels of 8 corners are 8 million corners, a few hundred MB of intermediate values."""
RAYS_AT_ONCE = 1 << 15
"""Marched together: at 129 steps a ray they are 4 million places."""

# --- hash grid -------------------------------------------------------------------------------------------------------------


class _Levels(NamedTuple):
    """The levels of a grid as tensors."""

    n_dense: int
    """Resolutions ascend, so dense levels, which have a row for each vertex, come first."""
    scales: Float[Tensor, " levels"]
    factors: Int[Tensor, "levels dims"]
    """Of a vertex's coordinates: the products' sum is a dense level's row; their exclusive or, modulo the rows, a hashed one's."""
    offsets: Int[Tensor, " levels"]


@functools.cache
def _levels(grid: GridConfig, device: torch.device, dtype: torch.dtype) -> _Levels:
    """Made once: a GPU has to be waited for whenever numbers are sent to it."""
    levels = grid.levels()
    factors = [HASH_PRIMES[: grid.n_dims] if v.hashed else tuple(v.resolution**d for d in range(grid.n_dims)) for v in levels]
    return _Levels(
        sum(not level.hashed for level in levels),
        torch.tensor([level.scale for level in levels], device=device, dtype=dtype),
        torch.tensor(factors, device=device),
        torch.tensor([level.offset for level in levels], device=device),
    )


class _Corners(NamedTuple):
    """The corners of the cells that n samples lie in, in each of `levels` levels; one axis of 2 for each dimension, x last."""

    rows: Int[Tensor, "n levels *corners"]
    """Of the table."""
    shares: tuple[Float[Tensor, "n levels *corners"], ...]
    """x, y, z: how much a corner weighs along that axis; of size 2 there and 1 along the others. A weight is their product."""


def _corners(x: Float[Tensor, "n dims"], grid: GridConfig) -> _Corners:
    levels, n_dims = _levels(grid, x.device, x.dtype), grid.n_dims
    # What is not a number counts as 0, as in the native operator: an index must lie in the table.
    position = x.nan_to_num(0.0).clamp(0.0, 1.0)[:, None] * levels.scales[:, None]
    cell = position.floor()
    fraction, vertex = position - cell, cell.long()
    shapes = [(len(x), grid.n_levels, *(2 if axis == d else 1 for axis in reversed(range(n_dims)))) for d in range(n_dims)]
    shares = tuple(torch.stack([1.0 - fraction[..., d], fraction[..., d]], -1).view(shapes[d]) for d in range(n_dims))
    terms = [(torch.stack([vertex[..., d], vertex[..., d] + 1], -1) * levels.factors[:, d, None]).view(shapes[d]) for d in range(n_dims)]
    dense, hashed = terms[0][:, : levels.n_dense], terms[0][:, levels.n_dense :]
    for term in terms[1:]:
        dense, hashed = dense + term[:, : levels.n_dense], hashed ^ term[:, levels.n_dense :]
    hashed = hashed & ((1 << grid.log2_hashmap_size) - 1)
    return _Corners(torch.cat([dense, hashed], 1) + levels.offsets.view(-1, *[1] * n_dims), shares)


def _product(factors: tuple[Tensor, ...]) -> Tensor:
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product


def _parts(n: int, at_once: int) -> Iterator[slice]:
    return (slice(first, min(n, first + at_once)) for first in range(0, max(1, n), at_once))


class _Encode(torch.autograd.Function):
    """Remembers its arguments alone: corners are found again on the way back, which is cheaper than to keep them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grid: GridConfig) -> Tensor:
        if x.ndim != 2 or x.shape[1] != grid.n_dims or table.shape != (grid.n_rows, 2):
            raise BadInput(f"x {tuple(x.shape)} and table {tuple(table.shape)} do not fit a grid of {(grid.n_rows, 2)}, {grid.n_dims}D")
        ctx.save_for_backward(x, table)
        ctx.grid = grid
        outputs = []
        for part in _parts(len(x), SAMPLES_AT_ONCE):
            corners = _corners(x[part], grid)
            weights = _product(corners.shares).flatten(2)
            outputs.append((weights[..., None] * table[corners.rows.flatten(2)]).sum(2).flatten(1))
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (x, table), grid = ctx.saved_tensors, ctx.grid
        needs_x, needs_table, _ = ctx.needs_input_grad
        grad_table = torch.zeros_like(table) if needs_table else None
        grad_x = []
        for part in _parts(len(x), SAMPLES_AT_ONCE):
            corners = _corners(x[part], grid)
            incoming = grads[0][part].reshape(-1, grid.n_levels, 1, 2)
            if grad_table is not None:
                moved = _product(corners.shares).flatten(2)[..., None] * incoming
                grad_table.index_add_(0, corners.rows.flatten(), moved.view(-1, 2))
            if needs_x:
                pull = (table[corners.rows.flatten(2)] * incoming).sum(-1).view(corners.rows.shape)
                grad_x.append(_slopes(x[part], corners.shares, pull, grid))
        return torch.cat(grad_x) if needs_x else None, grad_table, None


def _slopes(
    x: Float[Tensor, "n dims"],
    shares: tuple[Float[Tensor, "n levels *corners"], ...],
    pull: Float[Tensor, "n levels *corners"],
    grid: GridConfig,
) -> Float[Tensor, "n dims"]:
    """The gradient of the coordinates: differences of the two sides of each cell, whose corners pull with the given strength."""
    scales, slopes = _levels(grid, x.device, x.dtype).scales, []
    for d in range(grid.n_dims):
        other_axes = [axis for axis in range(2, pull.ndim) if axis != pull.ndim - 1 - d]
        across = _product((pull, *shares[:d], *shares[d + 1 :])).sum(other_axes)
        slopes.append(((across[..., 1] - across[..., 0]) * scales).sum(1))
    return torch.stack(slopes, 1) * ((x >= 0.0) & (x <= 1.0))


def encode(x: Float[Tensor, "n dims"], table: Float[Tensor, "rows 2"], grid: GridConfig) -> Float[Tensor, "n features"]:
    """Interpolate every level at `x`, 0...1 along each axis (clamped); differentiable in both arguments, once.

    Raises BadInput if the shapes do not fit the grid.
    """
    return cast("Tensor", _Encode.apply(x, table, grid))  # type: ignore[no-untyped-call]


# --- rays ------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def march(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    occupancy: Bool[Tensor, "z y x"],
    config: FieldConfig,
    jitter: Float[Tensor, " rays"] | None = None,
) -> PackedSamples:
    """`rays.march_reference` in bounded memory, not differentiable. Raises BadInput for an occupancy of another size or type."""
    if tuple(occupancy.shape) != (config.occupancy_resolution,) * 3 or occupancy.dtype != torch.bool:
        raise BadInput(f"occupancy {occupancy.dtype} {tuple(occupancy.shape)}: bool of {(config.occupancy_resolution,) * 3} is needed")
    marched, n_samples = [], 0
    for part in _parts(len(rays_o), RAYS_AT_ONCE):
        found = march_reference(rays_o[part], rays_d[part], occupancy, config, None if jitter is None else jitter[part])
        marched.append(found._replace(ray_indices=found.ray_indices + part.start, starts=found.starts + n_samples))
        n_samples += len(found.positions)
    return marched[0] if len(marched) == 1 else PackedSamples(*(torch.cat(values) for values in zip(*marched, strict=True)))


class _Slots(NamedTuple):
    """Packed samples as a table of rays, each row as long as the longest: running sums along a ray are then sums along a row."""

    shape: tuple[int, int]
    """Rays, and the most samples of one."""
    places: Int[Tensor, " n"]
    """Of the samples in the flattened table."""

    @classmethod
    def of(cls, samples: PackedSamples) -> _Slots:
        width = max(1, int(samples.counts.max())) if len(samples.counts) else 1
        slot = torch.arange(len(samples.ray_indices), device=samples.ray_indices.device) - samples.starts[samples.ray_indices]
        return cls((len(samples.counts), width), samples.ray_indices * width + slot)

    def spread(self, values: Float[Tensor, "n ..."]) -> Float[Tensor, "rays width ..."]:
        """Values of samples in their slots, 0 in empty ones."""
        rays, width = self.shape
        return values.new_zeros(rays * width, *values.shape[1:]).index_copy(0, self.places, values).unflatten(0, (rays, width))

    def gather(self, table: Float[Tensor, "rays width"]) -> Float[Tensor, " n"]:
        """The inverse of `spread`."""
        return table.reshape(-1).index_select(0, self.places)


def composite(
    sigmas: Float[Tensor, " n"], rgbs: Float[Tensor, "n 3"], samples: PackedSamples, step: float
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"], Float[Tensor, " n"]]:
    """Colour, opacity of each ray and weight of each sample (paper, equation 1), differentiable in `sigmas` and `rgbs`.

    Transmittance is the exponential of a sum, not a product: behind an opaque sample its gradient is 0 without a division by 0.
    """
    slots = _Slots.of(samples)
    depth = slots.spread(sigmas * step)
    in_front = F.pad(depth.cumsum(1), (1, 0))
    weights = torch.exp(-in_front[:, :-1]) * -torch.expm1(-depth)
    colours = (weights[..., None] * slots.spread(rgbs)).sum(1)
    return colours, -torch.expm1(-in_front[:, -1]), slots.gather(weights)


def distortion(weights: Float[Tensor, " n"], samples: PackedSamples, step: float) -> Float[Tensor, " rays"]:
    """Distortion loss of each ray (mip-NeRF 360, equation 15) by running sums along it; differentiable in `weights`.

    sum_ij w_i w_j |t_i - t_j| + step / 3 * sum_i w_i^2, distances in head units, ascending along a ray.
    """
    slots = _Slots.of(samples)
    w = slots.spread(weights)
    # From the ray's first sample on, so that differences of nearly equal numbers stay exact.
    t = slots.spread(samples.distances - samples.distances[samples.starts[samples.ray_indices]])
    before, moment = w.cumsum(1) - w, (w * t).cumsum(1) - w * t
    return (2.0 * w * (t * before - moment) + step / 3.0 * w * w).sum(1)
