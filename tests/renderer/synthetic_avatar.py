"""An untrained avatar that costs the renderer what a trained one does: a head-shaped density, random everything else.

The head is an ellipsoid of about ±1.15 units that covers 41 % of the picture; a ray takes four to five samples before it is opaque.
The level-0 grid holds the ellipsoid's depth, two hidden units turn it into a log-density, all other weights are random.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from renderer.avatar import Avatar, EncoderIdentity, Lineage
from renderer.emotion import EMOTION_DIM
from renderer.field.config import FieldConfig, GridConfig, TorsoConfig
from renderer.field.torch_field import TorchField
from renderer.types import Camera, FrameCondition

if TYPE_CHECKING:
    from jaxtyping import Float

FEATURE_DIM = 40
RADII = (1.08, 1.2, 1.0)
CAMERA_DISTANCE = 7.2
TAN_HALF_VIEW = 0.2315
SHELL = (-0.03, 0.4)
"""Occupied depths below the ellipsoid's surface, head units."""
DEPTH_SLOPE, DEPTH_START, LOG_DENSITY_START = 110.0, -0.05, -3.0
"""log-density = slope * (depth - start) + LOG_DENSITY_START, from the start on."""
SMALL = GridConfig(3, n_levels=4, base_resolution=16, finest_resolution=128, log2_hashmap_size=13)


def synthetic_avatar(
    seed: int = 0,
    small: bool = False,
    size_px: int = 256,
    aspect: float = 1.0,
    n_frames: int = 50,
    n_appearances: int = 3,
    emotional: bool = False,
) -> Avatar:
    """`small`: grids of 4 levels and narrow networks, for quick tests. `aspect` is width over height of the camera's picture.

    `emotional`: the field takes an emotion, by random weights.
    """
    config = FieldConfig(feature_dim=FEATURE_DIM, n_appearances=n_appearances, emotion_dim=EMOTION_DIM if emotional else 0)
    if small:
        flat = dataclasses.replace(SMALL, n_dims=2)
        config = dataclasses.replace(
            config, spatial_grid=SMALL, audio_grid=flat, hidden=48, geometry_dim=16,
            torso=TorsoConfig(grid=flat, hidden=32, colour_hidden=16, position_octaves=3),
        )  # fmt: skip
    random = np.random.default_rng(seed)
    tensors = _tensors(config, seed)
    width = round(size_px * aspect)
    focal = 0.5 * size_px / TAN_HALF_VIEW
    sway = [(0.15 * np.sin(i / 9), 0.08 * np.sin(i / 7), 0.03 * np.sin(i / 5)) for i in range(n_frames)]
    rows = np.arange(64)
    return Avatar(
        name="synthetic",
        field_config=config,
        tensors=tensors,
        occupancy=_occupancy(config),
        torso_mask=np.broadcast_to((rows >= 40)[:, None], (64, 64)).copy(),
        background=random.integers(0, 255, (size_px // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1),
        camera=Camera(focal, focal, 0.5 * width, 0.5 * size_px, width, size_px),
        fps=25,
        pose_track=np.stack([camera_from_head(*angles) for angles in sway]),
        eye_track=np.clip(0.6 + 0.6 * np.sin(np.arange(n_frames) / 4), 0, 1).astype(np.float32),
        encoder=EncoderIdentity("bundled", FEATURE_DIM, "0" * 64, 80.0),
        subject={"kind": "synthetic"},
        lineage=Lineage("test", seed=seed),
    )


def camera_from_head(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, distance: float = CAMERA_DISTANCE
) -> Float[np.ndarray, "4 4"]:
    """A head that faces the camera, turned by the given angles (radians)."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    turn = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    )
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn
    pose[2, 3] = distance
    return pose


def synthetic_condition(avatar: Avatar, index: int = 0, seed: int = 0, **changes: object) -> FrameCondition:
    """A frame of the avatar's own pose track with a random audio window."""
    row = index % len(avatar.pose_track)
    shape = (avatar.field_config.audio_window.n_steps, avatar.field_config.feature_dim)
    window = np.random.default_rng((seed, index)).uniform(-10.0, 0.0, shape).astype(np.float32)
    condition = FrameCondition(index, window, avatar.pose_track[row], float(avatar.eye_track[row]))
    return dataclasses.replace(condition, **changes)  # type: ignore[arg-type]


def _depth(x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Approximate depth below the ellipsoid's surface."""
    return (1.0 - np.linalg.norm(x / np.array(RADII), axis=1)) * min(RADII)


def _points(resolution: int, config: FieldConfig, offset: float, cells: float) -> Float[np.ndarray, "n 3"]:
    """Head-frame positions of a cube of grid points, x fastest."""
    axis = (np.arange(resolution) + offset) / cells * 2.0 - 1.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([x, y, z], -1).reshape(-1, 3) * config.head_half_extent + np.array(config.head_centre)


def _occupancy(config: FieldConfig) -> np.ndarray:
    resolution = config.occupancy_resolution
    depth = _depth(_points(resolution, config, 0.5, resolution))
    return ((depth > SHELL[0]) & (depth < SHELL[1])).reshape((resolution,) * 3)


def _tensors(config: FieldConfig, seed: int) -> dict[str, np.ndarray]:
    field = TorchField(config)
    field.initialise(torch.Generator().manual_seed(seed))
    tensors = field.arrays()
    random = np.random.default_rng(seed + 1)
    # Coarse levels carry the picture; the audio grid's fine levels keep the noise that training starts from.
    for name, grid, scale, decay, least in (
        ("head.spatial_grid", config.spatial_grid, 2.0, 0.8, 0.0),
        ("head.audio_grid", config.audio_grid, 1.5, 0.7, 0.1),
        ("torso.grid", config.torso.grid, 2.0, 0.7, 0.0),
    ):
        for i, level in enumerate(grid.levels()):
            rows = slice(level.offset, level.offset + level.n_rows)
            tensors[name][rows] = random.uniform(-1.0, 1.0, (level.n_rows, 2)) * max(least, scale * decay**i)
    coarse = config.spatial_grid.levels()[0]
    depth = _depth(_points(coarse.resolution, config, 0.0, coarse.scale))
    tensors["head.spatial_grid"][: coarse.n_rows, 0] = depth
    # Unit 0 rises with the depth, unit 1 is constant; both pass the second layer as they are.
    density0, density1, density2 = (tensors[f"head.density{i}.weight"] for i in range(3))
    density0[:2], density1[:2], density1[:, :2], density2[:, :2] = 0.0, 0.0, 0.0, 0.0
    for name in ("head.density0.eye", "head.density0.emotion_condition"):
        if name in tensors:
            tensors[name][:2] = 0.0
    density0[0, 0] = DEPTH_SLOPE
    tensors["head.density0.bias"][:2] = (-DEPTH_SLOPE * DEPTH_START, 1.0)
    density1[0, 0] = density1[1, 1] = 1.0
    density2[0] *= 0.05
    density2[0, :2] = (1.0, LOG_DENSITY_START)
    tensors["head.ambient2.weight"] *= 4.0
    for name in ("head.density0.eye", "head.ambient0.audio_condition"):
        tensors[name] *= 2.0
    for name in ("head.appearance", "torso.appearance"):
        tensors[name][:] = random.normal(0.0, 1.0, tensors[name].shape)
    return tensors
