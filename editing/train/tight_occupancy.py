"""The occupancy grid that an avatar ships with: the cells that its pictures need, and no others.

Training's grid is generous, one cell around whatever a random ray has seen lately, for the field still moves. A finished field does not:
all rays of many frames are marched through it once more, and cells in which no sample weighs anything are dropped. What remains is a
third, which makes rendering a third faster, and sharper: a ray's 16 samples are no longer spent in front of an ear before they reach it.

What floats is dropped with them: a cell must be solid, or touch one that is, and be joined to the head by solid ones. Crumbs in front of a
wall of their own colour weigh something in the frames they were learned from and cost nothing there; from any other side they are seen.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from renderer.field.rays import camera_rays, pixel_grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from editing.train.clip import TrainingClip
    from editing.train.engine import Engine
    from renderer.field.config import FieldConfig
    from renderer.field.torch_field import TorchField

FRAMES = 300
LEAST_WEIGHT = 0.005
"""A sample that weighs less in every frame is not missed: a hundredth of what a viewer could see."""
LEAST_OPACITIES = (0.15, 0.05, 0.0)
"""Of one step through a solid cell, where it is densest: the first at which no more than LARGEST_LOSS is lost."""
LARGEST_LOSS = 0.03
"""Share of all samples' weights that may lie in what is dropped for being loose or mist. A field after a short training is mist itself."""
MARCHED_SAMPLES = 64
"""Samples of a ray through the generous grid; 16 would end in front of what they should find."""


@torch.no_grad()
def tight_occupancy(
    field: TorchField,
    clip: TrainingClip,
    engine: Engine,
    generous: Bool[np.ndarray, "z y x"],
    rng: np.random.Generator,
    n_frames: int = FRAMES,
    least_weight: float = LEAST_WEIGHT,
    least_opacities: tuple[float, ...] = LEAST_OPACITIES,
) -> Bool[np.ndarray, "z y x"]:
    """Cells of `generous` that matter to the clip's frames and hang together, and their neighbours where speech moves things."""
    config, head, device = field.config, engine.head(field), engine.device
    marched = dataclasses.replace(config, max_samples=max(MARCHED_SAMPLES, config.max_samples))
    pixels, occupancy = pixel_grid(clip.width, clip.height, device), torch.from_numpy(generous).to(device)
    most, densest = torch.zeros(generous.size, device=device), torch.zeros(generous.size, device=device)
    weight = np.zeros(generous.size)
    frames = np.sort(clip.draw(n_frames, rng))
    for frame in tqdm(frames, unit="frame", desc="occupancy", disable=not sys.stderr.isatty(), leave=False):
        rays_o, rays_d = camera_rays(clip.dataset.meta.camera, clip.poses[frame], pixels)
        jitter = torch.from_numpy(rng.random(len(rays_d), dtype=np.float32) - 0.5).to(device)
        samples = engine.march(rays_o.contiguous(), rays_d.contiguous(), occupancy, marched, jitter)
        if not len(samples.positions):
            continue
        biases = field.head_biases(
            field.audio_codes(torch.from_numpy(clip.windows[frame : frame + 1]).to(device)),
            torch.from_numpy(clip.eye_ratio[frame : frame + 1]).to(device),
            torch.from_numpy(clip.harmonics[frame : frame + 1]).to(device),
            field["head.appearance"].mean(0, keepdim=True),
            None if clip.emotions is None else torch.from_numpy(clip.emotions[frame : frame + 1]).to(device),
        )
        out = head(samples.positions, [len(samples.positions)], biases)
        weights = engine.composite(out.sigmas, out.rgbs, samples, config.step_size)[2]
        cells = cell_indices(samples.positions, config)
        most.scatter_reduce_(0, cells, weights, "amax")
        densest.scatter_reduce_(0, cells, out.sigmas, "amax")
        weight += np.bincount(cells.cpu().numpy(), weights.double().cpu().numpy(), generous.size)
    shape = generous.shape
    seen = (most > least_weight).cpu().numpy().reshape(shape)
    opacity = 1.0 - torch.exp(-densest * config.step_size).cpu().numpy().reshape(shape)
    depth = float(np.median(clip.poses[frames, 2, 3]))
    gap = round(depth / clip.dataset.meta.camera.fx / (2.0 * config.head_half_extent / config.occupancy_resolution))
    seen = _solid(seen, opacity, weight.reshape(shape), gap, least_opacities)
    return (seen | (ndimage.binary_dilation(seen) & _audio_cells(config))) & generous


def _solid(
    seen: Bool[np.ndarray, "z y x"],
    opacity: Float[np.ndarray, "z y x"],
    weight: Float[np.ndarray, "z y x"],
    gap: int,
    least_opacities: tuple[float, ...],
) -> Bool[np.ndarray, "z y x"]:
    """The cells of `seen` that are solid or touch a solid one, as far as those hang together.

    Where a pixel is as wide as some cells, rays meet only some of a surface: up to 2 `gap` cells may lie between two that hang together.
    """
    for least in least_opacities:
        kept = seen & ndimage.binary_dilation(largest_body(seen & (opacity >= least), gap))
        if weight[seen & ~kept].sum() <= LARGEST_LOSS * weight.sum():
            return np.asarray(kept)
    return seen


def largest_body(cells: Bool[np.ndarray, "z y x"], gap: int = 0) -> Bool[np.ndarray, "z y x"]:
    """The largest set of cells that touch, corners included, or would if each were grown by `gap`."""
    corners = np.ones((3, 3, 3), bool)
    labels, n = ndimage.label(ndimage.binary_dilation(cells, corners, gap) if gap else cells, corners)
    if n < 2:
        return cells
    return np.asarray(cells & (labels == 1 + np.bincount(labels[cells])[1:].argmax()))


def cell_indices(positions: Float[torch.Tensor, "n 3"], config: FieldConfig) -> torch.Tensor:
    """Index of the occupancy cell, [z, y, x] flattened, that each head-frame position lies in."""
    resolution = config.occupancy_resolution
    x01 = (positions - positions.new_tensor(config.head_centre)) * (0.5 / config.head_half_extent) + 0.5
    cell = (x01 * resolution).long().clamp_(0, resolution - 1)
    return (cell[:, 2] * resolution + cell[:, 1]) * resolution + cell[:, 0]


def _audio_cells(config: FieldConfig) -> Bool[np.ndarray, "z y x"]:
    """Cells whose centre lies in the region that speech moves."""
    resolution, region = config.occupancy_resolution, config.audio_region
    unit = (np.arange(resolution) + 0.5) / resolution * 2.0 - 1.0
    z, y, x = (unit * config.head_half_extent + config.head_centre[axis] for axis in (2, 1, 0))
    distance = (
        ((z - region.centre[2]) / region.radii[2])[:, None, None] ** 2
        + ((y - region.centre[1]) / region.radii[1])[None, :, None] ** 2
        + ((x - region.centre[0]) / region.radii[0])[None, None, :] ** 2
    )
    return np.asarray(distance < 1.0)
