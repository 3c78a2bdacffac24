"""Rays, marching through the occupancy grid, and volume rendering, plain torch. Everything stays on the device of what comes in.

Rays live in the head frame; directions are unit vectors, t is a distance in head units. Samples stand at t = (k + 1/2 + jitter) * step
for whole k counted from the camera, so neighbouring rays and frames sample the same shells and nothing crawls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from renderer.field.config import FieldConfig
    from renderer.types import Camera


class PackedSamples(NamedTuple):
    """Samples of many rays, ray after ray."""

    positions: Float[Tensor, "n 3"]
    distances: Float[Tensor, " n"]
    ray_indices: Int[Tensor, " n"]
    starts: Int[Tensor, " rays"]
    """First sample of each ray."""
    counts: Int[Tensor, " rays"]


def camera_rays(
    camera: Camera, camera_from_head: Float[np.ndarray, "4 4"], pixels: Float[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Origins and unit directions, head frame, through image points (x, y) in pixels (centres at +0.5)."""
    rotation = torch.tensor(camera_from_head[:3, :3], dtype=torch.float32, device=pixels.device)
    translation = torch.tensor(camera_from_head[:3, 3], dtype=torch.float32, device=pixels.device)
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    directions = torch.stack([x, y, torch.ones_like(x)], dim=1) @ rotation
    directions = directions / directions.norm(dim=1, keepdim=True)
    return (-rotation.t() @ translation).expand_as(directions), directions


def pixel_grid(width: int, height: int, device: torch.device | None = None) -> Float[Tensor, "n 2"]:
    """Centres of all pixels, row by row."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    y, x = torch.meshgrid(rows + 0.5, columns + 0.5, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1)


def march_reference(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    occupancy: Bool[Tensor, "z y x"],
    config: FieldConfig,
    jitter: Float[Tensor, " rays"] | None = None,
) -> PackedSamples:
    """The first `max_samples` samples of each ray that fall into occupied cells (paper, section 3.4)."""
    step, extent, resolution = config.step_size, config.head_half_extent, config.occupancy_resolution
    centre = rays_o.new_tensor(config.head_centre)
    safe = torch.where(rays_d.abs() < 1e-9, torch.full_like(rays_d, 1e-9), rays_d)
    t_a, t_b = (centre - extent - rays_o) / safe, (centre + extent - rays_o) / safe
    near = torch.minimum(t_a, t_b).amax(1).clamp(min=0.0)
    far = torch.maximum(t_a, t_b).amin(1)
    offset = 0.5 + (jitter if jitter is not None else rays_o.new_zeros(len(rays_o)))
    first = torch.ceil(near / step - offset)
    t = (first[:, None] + torch.arange(config.occupancy_resolution + 1, device=rays_o.device) + offset[:, None]) * step
    positions = rays_o[:, None] + t[..., None] * rays_d[:, None]
    x01 = (positions - centre) * (0.5 / extent) + 0.5
    cell = (x01 * resolution).floor().long().clamp(0, resolution - 1)
    hit = (t < far[:, None]) & occupancy[cell[..., 2], cell[..., 1], cell[..., 0]]
    hit &= hit.cumsum(1) <= config.max_samples
    ray_indices, k = hit.nonzero(as_tuple=True)
    counts = hit.sum(1)
    return PackedSamples(positions[ray_indices, k], t[ray_indices, k], ray_indices, counts.cumsum(0) - counts, counts)


def composite_reference(
    sigmas: Float[Tensor, " n"], rgbs: Float[Tensor, "n 3"], samples: PackedSamples, step: float
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"], Float[Tensor, " n"]]:
    """Colour, opacity of each ray and weight of each sample (paper, equation 1)."""
    n_rays, width = len(samples.counts), int(samples.counts.max()) if len(samples.counts) else 0
    slot = torch.arange(len(sigmas), device=sigmas.device) - samples.starts[samples.ray_indices]
    alphas = sigmas.new_zeros(n_rays, max(1, width)).index_put((samples.ray_indices, slot), 1.0 - torch.exp(-sigmas * step))
    transmittance = torch.cumprod(torch.cat([alphas.new_ones(n_rays, 1), 1.0 - alphas], dim=1), dim=1)
    weights = (alphas * transmittance[:, :-1])[samples.ray_indices, slot]
    colours = rgbs.new_zeros(n_rays, 3).index_add(0, samples.ray_indices, weights[:, None] * rgbs)
    return colours, 1.0 - transmittance[:, -1], weights


def distortion_reference(weights: Float[Tensor, " n"], samples: PackedSamples, step: float) -> Float[Tensor, " rays"]:
    """Distortion loss of each ray: sum_ij w_i w_j |t_i - t_j| + step / 3 sum_i w_i^2 (mip-NeRF 360, equation 15)."""
    same_ray = samples.ray_indices[:, None] == samples.ray_indices
    apart = (samples.distances[:, None] - samples.distances).abs() * same_ray
    share = weights * (apart.to(weights.dtype) @ weights) + step / 3.0 * weights**2
    return weights.new_zeros(len(samples.counts)).index_add(0, samples.ray_indices, share)
