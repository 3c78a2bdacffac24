"""Bundle adjustment on heads whose poses are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from editing.capture.head_pose import UNIT_CM, HeadPoses, estimate_poses
from tests.editing.capture.face_shape import face_shape, project

SIZE_PX, FOCAL_PX = 512, 1000.0
N = 120


def moving_head() -> tuple[np.ndarray, np.ndarray]:
    """Smooth turns and shifts: camera-from-head rotation [n, 3, 3] and translation [n, 3] in cm."""
    t = np.arange(N) / 25
    turns = np.stack([8 * np.sin(1.3 * t), 14 * np.sin(0.7 * t + 1), 5 * np.sin(0.9 * t)], 1)
    rotation = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    shift = np.stack([2 * np.sin(0.8 * t), 1 * np.cos(0.6 * t), 45 + 1.5 * np.sin(0.5 * t)], 1)
    return rotation, shift


def observed(rotation: np.ndarray, translation: np.ndarray, noise_px: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    landmarks = np.stack([project(face_shape(), r, t, FOCAL_PX, SIZE_PX) for r, t in zip(rotation, translation, strict=True)])
    landmarks[..., :2] += rng.normal(0.0, noise_px, landmarks[..., :2].shape)
    return landmarks.astype(np.float32)


def rough(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """As MediaPipe gives them: OpenGL axes, another camera, a few degrees off."""
    flip = np.diag([1.0, -1.0, -1.0])
    error = Rotation.from_euler("xyz", np.random.default_rng(2).normal(0.0, 2.0, (N, 3)), degrees=True).as_matrix()
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = flip @ error @ rotation
    assumed = 256.0 / np.tan(np.radians(31.5))
    poses[:, :3, 3] = translation * (1.0, 1.0, assumed / FOCAL_PX) @ flip
    return poses.astype(np.float32)


def rotation_error_deg(found: HeadPoses, rotation: np.ndarray) -> np.ndarray:
    """After the best constant turn of the head frame, which nothing in a picture fixes."""
    relative = Rotation.from_matrix(found.camera_from_head[:, :3, :3].astype(float).transpose(0, 2, 1) @ rotation)
    return np.degrees((relative.mean().inv() * relative).magnitude())


def test_poses_are_found_in_spite_of_noise_and_rough_beginnings() -> None:
    rotation, translation = moving_head()
    found = estimate_poses(observed(rotation, translation, 1.0), rough(rotation, translation), SIZE_PX)
    error = rotation_error_deg(found, rotation)
    assert np.sqrt((error**2).mean()) < 0.5 and error.max() < 1.5
    where = found.camera_from_head[:, :3, 3] * UNIT_CM
    scale = where[:, 2].mean() / translation[:, 2].mean() * FOCAL_PX / found.focal_px
    assert 0.9 < scale < 1.1
    moved = (where - where.mean(0))[:, :2] / where[:, 2:].mean() * found.focal_px
    truth = (translation - translation.mean(0))[:, :2] / translation[:, 2:].mean() * FOCAL_PX
    assert np.abs(moved - truth).mean() < 2.0
    assert np.nanmedian(found.error_px) < 2.0


def test_pictures_without_a_face_are_bridged() -> None:
    rotation, translation = moving_head()
    landmarks, poses = observed(rotation, translation, 0.5), rough(rotation, translation)
    landmarks[50:58] = np.nan
    landmarks[:3] = np.nan
    found = estimate_poses(landmarks, poses, SIZE_PX)
    assert np.isnan(found.error_px[50:58]).all() and np.isfinite(found.error_px[58:]).all()
    assert rotation_error_deg(found, rotation)[50:58].max() < 3.0
    assert np.isfinite(found.camera_from_head).all()


@pytest.mark.parametrize("size_px", [256, 1024])
def test_sizes_scale_the_camera(size_px: int) -> None:
    rotation, translation = moving_head()
    landmarks, poses = observed(rotation, translation, 0.5), rough(rotation, translation)
    reference = estimate_poses(landmarks, poses, SIZE_PX)
    scaled = estimate_poses(landmarks * np.float32(size_px / SIZE_PX), poses, size_px)
    assert abs(scaled.focal_px / reference.focal_px - size_px / SIZE_PX) < 1e-3
    np.testing.assert_allclose(scaled.camera_from_head, reference.camera_from_head, atol=1e-3)
