"""Head poses of a whole clip by bundle adjustment: one rigid head shape, one focal length, one pose a picture.

Only landmarks that move with the skull take part: not lips, brows, lids, irises and nothing below the nose. Robust Gauss-Newton (pseudo-
Huber weights) in two steps: shape, focal length and poses together on a few hundred pictures (Schur complement on the shape), then all
poses with the shape held and a prior on their acceleration (one banded system), which also bridges pictures without a face.

Conventions of `editing.dataset`: OpenCV camera, head frame x image-right, y up, z out of the face. One unit is `UNIT_CM` centimetres of
MediaPipe's canonical face, whose absolute size a single camera cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import (
    EYE_CORNERS,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    N_MESH_LANDMARKS,
    NOSE_BASE,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Float32, Int

UNIT_CM = 17.0
"""The field's box is about as large as one unit in every direction from its centre."""
LANDMARKER_FIELD_OF_VIEW_DEG = 63.0
"""Vertical, of the camera that MediaPipe's rough poses assume."""
BELOW_NOSE_CM = 0.3
"""How far below the base of the nose a landmark may lie to count as rigid."""


@dataclass(frozen=True)
class PoseConfig:
    """How the bundle is adjusted. Lengths in pixels are those of the 512-pixel picture that landmarks are given in."""

    focal_px: float = 1000.0
    """what the focal length is near without evidence; a face hardly tells it"""
    focal_spread: float = 0.2
    """standard deviation of its logarithm"""
    joint_frames: int = 240
    """pictures that take part in estimating shape and focal length"""
    joint_iterations: int = 12
    """of Gauss-Newton on them"""
    pose_iterations: int = 6
    """of Gauss-Newton on all poses"""
    robust_px: float = 1.5
    """errors well above this count linearly"""
    landmark_noise_px: float = 1.0
    """of one landmark"""
    independent_landmarks: float = 12.0
    """how many independent measurements all landmarks are worth: neighbours err together"""
    shape_spread_cm: float = 0.6
    """of a landmark from its place on MediaPipe's face"""
    acceleration_px: float = 0.6
    """of the head in the picture's plane, a frame squared"""
    acceleration_depth_px: float = 1.8
    """the same towards the camera"""
    acceleration_deg: float = 0.35
    """of the head's turning"""


@dataclass(frozen=True)
class HeadPoses:
    """The adjusted bundle."""

    camera_from_head: Float32[np.ndarray, "n 4 4"]
    """in units of UNIT_CM"""
    focal_px: float
    """of the picture that the landmarks were given in, its centre the principal point"""
    shape: Float[np.ndarray, "468 3"]
    """all surface landmarks in the head frame, units of UNIT_CM; those that are not rigid at their median"""
    error_px: Float[np.ndarray, " n"]
    """root mean square reprojection error of the rigid landmarks; NaN where no face was found"""


def rigid_landmarks(canonical: Float[np.ndarray, "468 3"]) -> Int[np.ndarray, " m"]:
    """Indices of those that move with the skull alone."""
    moving = {*OUTER_LIPS, *INNER_LIPS, *LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW} - set(EYE_CORNERS)
    lowest = canonical[NOSE_BASE, 1] - BELOW_NOSE_CM
    return np.array([k for k in range(N_MESH_LANDMARKS) if k not in moving and canonical[k, 1] > lowest])


def rotations(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotation matrices of rotation vectors (radians)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vectors).as_matrix())


def rotation_vectors(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Rotation vectors (radians) of rotation matrices."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(matrices).as_rotvec())


def estimate_poses(
    landmarks: Float32[np.ndarray, "n 478 3"],
    rough: Float32[np.ndarray, "n 4 4"],
    size_px: int,
    config: PoseConfig | None = None,
    joints: Sequence[int] = (),
) -> HeadPoses:
    """Poses of all pictures of a clip.

    `landmarks` are pixels of a square picture of `size_px`, NaN where no face was found (at least one must be); `rough` are MediaPipe's
    poses of the same pictures. `joints` are the first pictures of further clips: there the head may jump.
    """
    config = config or PoseConfig()
    scale = size_px / 512.0
    found = np.isfinite(landmarks).all((1, 2))
    points = landmarks[found, :N_MESH_LANDMARKS].astype(np.float64)
    points[..., :2] = (points[..., :2] - size_px / 2) / scale
    points[..., 2] /= scale
    bundle = _Bundle.begin(points, rough[found].astype(np.float64), config)
    chosen = np.unique(np.linspace(0, len(points) - 1, config.joint_frames).astype(int))
    for _ in range(config.joint_iterations):
        bundle.joint_step(chosen)
    bundle.spread_over(np.flatnonzero(found), len(landmarks))
    for _ in range(config.pose_iterations):
        bundle.pose_step(joints)
    poses = np.tile(np.eye(4), (len(landmarks), 1, 1))
    poses[:, :3, :3] = bundle.rotation
    poses[:, :3, 3] = bundle.translation / UNIT_CM
    return HeadPoses(
        camera_from_head=poses.astype(np.float32),
        focal_px=bundle.focal * scale,
        shape=bundle.whole_shape(points, found) / UNIT_CM,
        error_px=bundle.errors() * scale,
    )


class _Bundle:
    """The state of the adjustment, in centimetres and pixels of a 512-pixel picture from its centre."""

    def __init__(
        self,
        observed: Float[np.ndarray, "n m 2"],
        rotation: Float[np.ndarray, "n 3 3"],
        translation: Float[np.ndarray, "n 3"],
        shape: Float[np.ndarray, "m 3"],
        rigid: Int[np.ndarray, " m"],
        config: PoseConfig,
    ) -> None:
        self.config, self.rigid = config, rigid
        self.observed, self.rotation, self.translation = observed, rotation, translation
        self.present = np.ones(len(observed), bool)
        self.shape, self.prior_shape = shape.copy(), shape
        self.focal = config.focal_px

    @staticmethod
    def begin(points: Float[np.ndarray, "n 468 3"], rough: Float[np.ndarray, "n 4 4"], config: PoseConfig) -> _Bundle:
        """From MediaPipe's poses and the mean of its landmarks taken back to the head frame."""
        flip = np.diag([1.0, -1.0, -1.0])  # OpenGL's camera to OpenCV's
        rotation, translation = flip @ rough[:, :3, :3], rough[:, :3, 3] @ flip
        assumed = 256.0 / np.tan(np.radians(LANDMARKER_FIELD_OF_VIEW_DEG / 2))
        depth = points * (translation[:, 2] / assumed)[:, None, None]
        canonical = np.einsum("nji,nkj->nki", rotation, depth - depth.mean(1, keepdims=True)).mean(0)
        for _ in range(20):  # its place in the head frame, which the poses refer to
            camera = np.einsum("nij,kj->nki", rotation, canonical) + translation[:, None]
            error = (points[..., :2] - assumed * camera[..., :2] / camera[..., 2:]).mean(1) * translation[:, 2:] / assumed
            canonical = canonical + np.einsum("nji,nj->ni", rotation, np.pad(error, ((0, 0), (0, 1)))).mean(0) * (1, 1, 0)
        rigid = rigid_landmarks(canonical)
        translation = translation * (1.0, 1.0, config.focal_px / assumed)
        return _Bundle(points[:, rigid, :2], rotation, translation, canonical[rigid], rigid, config)

    def _linearised(self, frames: Int[np.ndarray, " f"]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Errors [f, m, 2], their derivatives by the pose [f, m, 2, 6] and by the camera point [f, m, 2, 3], robust weights [f, m]."""
        turned = np.einsum("nij,kj->nki", self.rotation[frames], self.shape)
        camera = turned + self.translation[frames, None]
        x, y, z = np.moveaxis(camera, -1, 0)
        error = self.focal * camera[..., :2] / camera[..., 2:] - self.observed[frames]
        by_point = np.zeros((*x.shape, 2, 3))
        by_point[..., 0, 0] = by_point[..., 1, 1] = self.focal / z
        by_point[..., 0, 2], by_point[..., 1, 2] = -self.focal * x / z**2, -self.focal * y / z**2
        turning = np.zeros((*x.shape, 3, 3))  # derivative of w × turned by w
        tx, ty, tz = np.moveaxis(turned, -1, 0)
        turning[..., 0, 1], turning[..., 0, 2], turning[..., 1, 2] = tz, -ty, tx
        turning[..., 1, 0], turning[..., 2, 0], turning[..., 2, 1] = -tz, ty, -tx
        by_pose = np.concatenate([by_point @ turning, by_point], -1)
        config = self.config
        weight = 1.0 / np.sqrt(1.0 + (error**2).sum(-1) / config.robust_px**2)
        weight *= config.independent_landmarks / (len(self.rigid) * config.landmark_noise_px**2)
        return error, by_pose, by_point, weight

    def joint_step(self, frames: Int[np.ndarray, " f"]) -> None:
        """One step of shape, focal length and the poses of `frames`; the shape's prior fixes the head frame and its size."""
        config, m = self.config, len(self.rigid)
        error, by_pose, by_point, weight = self._linearised(frames)
        by_shape = by_point @ self.rotation[frames, None]
        by_focal = error + self.observed[frames]  # by the logarithm
        weighted = by_pose * weight[..., None, None]
        a = np.einsum("nkij,nkil->njl", weighted, by_pose) + 1e-9 * np.eye(6)
        to_shape = np.einsum("nkij,nkil->njkl", weighted, by_shape).reshape(len(frames), 6, 3 * m)
        to_focal = np.einsum("nkij,nki->nj", weighted, by_focal)[..., None]
        coupling = np.concatenate([to_shape, to_focal], 2)
        right = np.einsum("nkij,nki->nj", weighted, error)
        system = np.zeros((3 * m + 1, 3 * m + 1))
        blocks = np.einsum("nk,nkij,nkil->kjl", weight, by_shape, by_shape)
        for k in range(m):
            system[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = blocks[k]
        cross = np.einsum("nk,nkij,nki->kj", weight, by_shape, by_focal).reshape(-1)
        system[:-1, -1] = system[-1, :-1] = cross
        system[-1, -1] = np.einsum("nk,nki,nki->", weight, by_focal, by_focal)
        gradient = np.append(
            np.einsum("nk,nkij,nki->kj", weight, by_shape, error).reshape(-1), np.einsum("nk,nki,nki->", weight, by_focal, error)
        )
        # The priors are as strong as one frame's measurements a landmark, whatever the number of frames.
        strength = len(frames) * config.independent_landmarks / m
        prior = np.append(np.full(3 * m, strength * 0.05 / config.shape_spread_cm**2), 1.0 / config.focal_spread**2)
        departure = np.append((self.shape - self.prior_shape).reshape(-1), np.log(self.focal / config.focal_px))
        solved = np.linalg.solve(a, np.concatenate([coupling, right[..., None]], 2))
        reduced = system + np.diag(prior) - np.einsum("nij,nik->jk", coupling, solved[..., :-1])
        target = gradient + prior * departure - np.einsum("nij,ni->j", coupling, solved[..., -1])
        step = -np.linalg.solve(reduced, target)
        self._move(frames, -(solved[..., -1] + solved[..., :-1] @ step))
        self.shape = self.shape + step[:-1].reshape(m, 3)
        self.focal *= float(np.exp(np.clip(step[-1], -0.3, 0.3)))

    def _move(self, frames: Int[np.ndarray, " f"], step: Float[np.ndarray, "f 6"]) -> None:
        self.rotation[frames] = rotations(step[:, :3]) @ self.rotation[frames]
        self.translation[frames] += step[:, 3:]

    def spread_over(self, frames: Int[np.ndarray, " f"], n: int) -> None:
        """From the pictures with a face to all `n`: poses in between are interpolated."""
        from scipy.spatial.transform import Rotation, Slerp

        times = np.arange(n)
        inside = np.clip(times, frames[0], frames[-1])
        observed = np.zeros((n, *self.observed.shape[1:]))
        observed[frames] = self.observed
        rotation = Rotation.from_matrix(self.rotation)
        self.rotation = Slerp(frames, rotation)(inside).as_matrix() if len(frames) > 1 else np.repeat(self.rotation, n, 0)
        self.translation = np.stack([np.interp(times, frames, self.translation[:, axis]) for axis in range(3)], 1)
        self.observed = observed
        self.present = np.isin(times, frames)

    def pose_step(self, joints: Sequence[int] = (), block: int = 256) -> None:
        """One step of all poses with the prior on their acceleration, but across `joints`."""
        from scipy.linalg import solveh_banded

        config, n = self.config, len(self.observed)
        banded = np.zeros((18, 6 * n))  # upper form: element (i, j) at [17 + i - j, j]
        right = np.zeros((n, 6))
        rows, columns = np.triu_indices(6)
        for first in range(0, n, block):
            frames = np.arange(first, min(n, first + block))
            error, by_pose, _, weight = self._linearised(frames)
            weight = weight * self.present[frames, None]
            weighted = by_pose * weight[..., None, None]
            a = np.einsum("nkij,nkil->njl", weighted, by_pose)
            right[frames] = -np.einsum("nkij,nki->nj", weighted, error)
            for i, j in zip(rows, columns, strict=True):
                banded[17 + i - j, 6 * frames + j] += a[:, i, j]
        if n > 2:
            # Pixels to centimetres at the head's mean distance.
            per_px = float(self.translation[:, 2].mean()) / self.focal
            plane, depth = config.acceleration_px * per_px, config.acceleration_depth_px * per_px
            precision = np.array([np.radians(config.acceleration_deg)] * 3 + [plane, plane, depth]) ** -2.0
            turns = rotation_vectors(self.rotation[1:] @ self.rotation[:-1].transpose(0, 2, 1))
            acceleration = np.concatenate([np.diff(turns, axis=0), np.diff(self.translation, 2, axis=0)], 1)
            along = np.ones((n - 2, 1))
            for joint in joints:
                along[max(0, joint - 2) : joint] = 0.0  # of three pictures in a row, one is another clip's
            for own, own_share in enumerate((1.0, -2.0, 1.0)):
                right[own : n - 2 + own] -= own_share * along * precision * acceleration
                for other in range(own, 3):
                    share = own_share * (1.0, -2.0, 1.0)[other]
                    apart = 6 * (other - own)
                    at = (6 * (np.arange(n - 2) + other))[:, None] + np.arange(6)
                    banded[17 - apart, at] += share * along * precision
        banded[17] += 1e-9
        step = solveh_banded(banded, right.reshape(-1)).reshape(n, 6)
        self._move(np.arange(n), step)

    def errors(self) -> Float[np.ndarray, " n"]:
        """Root mean square error of each picture, NaN without a face."""
        turned = np.einsum("nij,kj->nki", self.rotation, self.shape) + self.translation[:, None]
        error = self.focal * turned[..., :2] / turned[..., 2:] - self.observed
        return np.where(self.present, np.sqrt((error**2).sum(-1).mean(-1)), np.nan)

    def whole_shape(self, points: Float[np.ndarray, "f 468 3"], found: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "468 3"]:
        """Every surface landmark's median in the head frame: rigid ones as adjusted, the others by MediaPipe's relative depth."""
        rotation, translation = self.rotation[found], self.translation[found]
        head_depth = np.einsum("nj,kj->nk", rotation[:, 2], self.shape).mean(1) + translation[:, 2]
        relative = (points[..., 2] - points[:, self.rigid, 2].mean(1, keepdims=True)) * (head_depth / self.focal)[:, None]
        depth = head_depth[:, None] + relative
        camera = np.concatenate([points[..., :2] * depth[..., None] / self.focal, depth[..., None]], -1)
        head = np.einsum("nji,nkj->nki", rotation, camera - translation[:, None])
        shape = np.median(head, axis=0)
        shape[self.rigid] = self.shape
        return np.asarray(shape)
