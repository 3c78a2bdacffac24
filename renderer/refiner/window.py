"""Which part of a picture is refined: all of it, or a window around the mouth or the face with soft edges.

A window is a pure function of avatar and condition: the bounding box of the ellipsoid in which the audio acts (and of the eyes', for the
face), projected with the head's pose. Its weights fall to 0 towards its edges, where the network also meets zeros instead of pixels, so
that no seam is seen; they follow the head continuously, while the pixels themselves begin at even places, as the network's blocks do.
Places are in pixels of the rendered picture, pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.refiner.config import BLOCK_PX

if TYPE_CHECKING:
    from jaxtyping import Float

    from renderer.field.config import FieldConfig, RegionConfig
    from renderer.types import Camera

SCOPES = ("picture", "face", "mouth")
SOFT_SHARE = 0.25
"""The weights rise over this share of the window's half width, on each side."""
MAX_MOUTH_SHARE = 0.5
"""A mouth window is at most this share of the picture's height wide and high, so that a head close by does not cost more."""


@dataclass(frozen=True)
class RefineWindow:
    """Pixels x ... x + len(columns) - 1, y ... y + len(rows) - 1; the pixel at (j, i) of it weighs rows[i] * columns[j]."""

    x: int
    y: int
    columns: Float[np.ndarray, " width"]
    rows: Float[np.ndarray, " height"]

    @property
    def weights(self) -> Float[np.ndarray, "height width"]:
        """float32, 0 ... 1."""
        return self.rows[:, None] * self.columns


def refine_window(scope: str, config: FieldConfig, camera: Camera, camera_from_head: Float[np.ndarray, "4 4"]) -> RefineWindow | None:
    """The window of `scope` (one of SCOPES); None where the head's part is not in the picture."""
    if scope == "picture":
        return RefineWindow(0, 0, np.ones(camera.width, np.float32), np.ones(camera.height, np.float32))
    regions = (config.audio_region,) if scope == "mouth" else (config.audio_region, config.eye_region)
    boxes = [projected_box(region, camera, camera_from_head) for region in regions]
    known = np.array([box for box in boxes if box is not None])
    if not len(known):
        return None
    least, most = known[:, :, 0].min(0), known[:, :, 1].max(0)
    if scope == "mouth":
        middle, half = 0.5 * (least + most), np.minimum(0.5 * (most - least), 0.5 * MAX_MOUTH_SHARE * camera.height)
        least, most = middle - half, middle + half
    x, columns = _weights(float(least[0]), float(most[0]), camera.width)
    y, rows = _weights(float(least[1]), float(most[1]), camera.height)
    if not len(columns) or not len(rows):
        return None
    return RefineWindow(x, y, columns, rows)


def projected_box(region: RegionConfig, camera: Camera, camera_from_head: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "2 2"] | None:
    """Bounds (least, most) in x and in y of a region's silhouette; None if it reaches behind the camera's plane.

    An ellipsoid's silhouette is the conic dual to K (R diag(radii^2) R^T - m m^T) K^T, m its centre in the camera's frame (Hartley and
    Zisserman, Multiple View Geometry, result 8.9).
    """
    rotation = np.asarray(camera_from_head[:3, :3], np.float64)
    middle = rotation @ np.array(region.centre) + camera_from_head[:3, 3]
    dual = rotation @ np.diag(np.square(region.radii)) @ rotation.T - np.outer(middle, middle)
    if middle[2] <= 0.0 or dual[2, 2] >= 0.0:
        return None
    projection = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    dual = projection @ dual @ projection.T
    bounds = []
    for axis in (0, 1):
        reach = np.sqrt(max(0.0, dual[axis, 2] ** 2 - dual[axis, axis] * dual[2, 2])) / -dual[2, 2]
        middle_px = dual[axis, 2] / dual[2, 2]
        bounds.append((middle_px - reach, middle_px + reach))
    return np.array(bounds)


def _weights(least: float, most: float, size: int) -> tuple[int, Float[np.ndarray, " n"]]:
    """First pixel, and weights, of the pixels of 0 ... size - 1 that lie between `least` and `most`."""
    first = max(0, int(np.floor(least / BLOCK_PX)) * BLOCK_PX)
    end = min(size, int(np.ceil(most / BLOCK_PX)) * BLOCK_PX)
    centres = np.arange(first, max(first, end)) + 0.5
    soft = max(SOFT_SHARE * 0.5 * (most - least), 1e-6)
    t = np.clip(np.minimum(centres - least, most - centres) / soft, 0.0, 1.0)
    return first, (t * t * (3.0 - 2.0 * t)).astype(np.float32)
