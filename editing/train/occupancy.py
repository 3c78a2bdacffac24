"""The maximum occupancy grid (RAD-NeRF, section 3.4): one grid that holds wherever any condition of the clip needs density.

Cells are indexed [z, y, x] over the head's cube. It begins as the visual hull of the head masks and is then pruned to the cells that
some training ray has seen with a weight above a threshold; the maximum over all conditions sampled so far decays slowly, so a cell
that mattered once in a while stays. What ships is tighter still: see `tight_occupancy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from editing.train.tight_occupancy import cell_indices

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from editing.train.clip import TrainingClip
    from renderer.field.config import FieldConfig

HULL_FRAMES = 40
HULL_COARSENING = 2
"""The hull is found on a grid this much coarser: masks are grown by more than its cells project to."""
HULL_SHARE = 0.9
"""Share of the frames whose (grown) head mask a cell must fall into."""
SEEN_WEIGHT = 0.01
DECAY = 0.95


class MaximumOccupancy:
    """Keeps the hull, the largest weight seen per cell, and the grid in use."""

    def __init__(self, hull: Bool[np.ndarray, "z y x"], device: torch.device) -> None:
        self.hull = torch.from_numpy(hull).to(device)
        self.grid = self.hull.clone()
        self.seen = torch.zeros(hull.size, device=device)

    def cells(self) -> Bool[np.ndarray, "z y x"]:
        """The grid in use, for who computes on the CPU; not to be written to."""
        return self.grid.cpu().numpy()

    def record(self, positions: Float[Tensor, "n 3"], weights: Float[Tensor, " n"], config: FieldConfig) -> None:
        """Note what training rays saw."""
        self.seen.scatter_reduce_(0, cell_indices(positions, config), weights, "amax")

    def tighten(self, cells: Bool[np.ndarray, "z y x"]) -> None:
        """From now on only these cells and their neighbours can be occupied."""
        self.hull &= torch.from_numpy(ndimage.binary_dilation(cells)).to(self.hull.device)
        self.grid &= self.hull

    def prune(self) -> None:
        """Keep cells that were seen, grown by one cell, inside the hull."""
        resolution = self.hull.shape[0]
        seen = (self.seen > SEEN_WEIGHT).reshape(1, 1, resolution, resolution, resolution).float()
        grown = F.max_pool3d(seen, 3, 1, 1)[0, 0] > 0
        self.grid = grown & self.hull
        self.seen.mul_(DECAY)


def visual_hull(clip: TrainingClip, config: FieldConfig) -> Bool[np.ndarray, "z y x"]:
    """Cells whose projection falls into the grown head mask in nearly every frame looked at."""
    resolution = config.occupancy_resolution // HULL_COARSENING
    centres = (np.arange(resolution) + 0.5) / resolution * 2.0 - 1.0
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    points = (np.stack([x, y, z], -1).reshape(-1, 3) * config.head_half_extent + np.asarray(config.head_centre)).astype(np.float32)
    camera = clip.dataset.meta.camera
    frames = clip.spread(HULL_FRAMES)
    votes = np.zeros(len(points), np.int16)
    margin = max(2, round(4 * clip.height / 256))
    for frame in frames:
        pose = clip.poses[frame]
        p = points @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32)
        u = (camera.fx * p[:, 0] / p[:, 2] + camera.cx).astype(int)
        v = (camera.fy * p[:, 1] / p[:, 2] + camera.cy).astype(int)
        visible = (u >= 0) & (u < clip.width) & (v >= 0) & (v < clip.height)
        mask = ndimage.binary_dilation(clip.head_mask(int(frame)), iterations=margin)
        inside = np.ones(len(points), bool)
        inside[visible] = mask[v[visible], u[visible]]
        votes += inside
    hull = (votes >= HULL_SHARE * len(frames)).reshape((resolution,) * 3)
    for axis in range(3):
        hull = hull.repeat(HULL_COARSENING, axis)
    return hull
