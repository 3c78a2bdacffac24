from __future__ import annotations

import numpy as np
import pytest

from renderer.refiner.window import MAX_MOUTH_SHARE, projected_box, refine_window
from tests.renderer.synthetic_avatar import camera_from_head, synthetic_avatar

AVATAR = synthetic_avatar(small=True, size_px=256)
CONFIG, CAMERA = AVATAR.field_config, AVATAR.camera


@pytest.mark.parametrize("pose", [camera_from_head(), camera_from_head(yaw=0.5, pitch=-0.3, roll=0.2)])
def test_projected_box_bounds_the_ellipsoid(pose: np.ndarray) -> None:
    region = CONFIG.audio_region
    directions = np.random.default_rng(0).normal(size=(200_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = (directions * region.radii + region.centre) @ pose[:3, :3].T + pose[:3, 3]
    pixels = points[:, :2] / points[:, 2:] * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)
    np.testing.assert_allclose(projected_box(region, CAMERA, pose), np.stack([pixels.min(0), pixels.max(0)], 1), atol=0.2)


def test_mouth_window_lies_below_the_middle_and_within_its_share() -> None:
    window = refine_window("mouth", CONFIG, CAMERA, camera_from_head())
    assert window is not None
    assert window.x % 2 == window.y % 2 == 0
    assert window.x + len(window.columns) / 2 == pytest.approx(128, abs=2)
    assert window.y + len(window.rows) / 2 > 150
    close = refine_window("mouth", CONFIG, CAMERA, camera_from_head(distance=3.0))
    assert close is not None
    assert max(len(close.columns), len(close.rows)) <= MAX_MOUTH_SHARE * 256 + 4


def test_window_weights_rise_from_its_edges() -> None:
    window = refine_window("mouth", CONFIG, CAMERA, camera_from_head(yaw=0.3))
    assert window is not None
    for weights in (window.columns, window.rows):
        middle = len(weights) // 2
        assert weights[0] < 0.02 and weights[-1] < 0.02 and weights[middle] == 1.0
        assert (np.diff(weights[:middle]) >= 0).all() and (np.diff(weights[middle:]) <= 0).all()
        assert np.abs(np.diff(weights)).max() < 0.15


def test_window_moves_continuously_with_the_head() -> None:
    """Weights on the picture's raster change little when the head moves by a hundredth of a pixel, across even places too."""
    before = None
    for step in range(200):
        pose = camera_from_head()
        pose[0, 3] += step * 0.01 * pose[2, 3] / CAMERA.fx
        window = refine_window("mouth", CONFIG, CAMERA, pose)
        assert window is not None
        weights = np.zeros(256)
        weights[window.x : window.x + len(window.columns)] = window.columns
        if before is not None:
            assert np.abs(weights - before).max() < 2e-3
        before = weights


def test_face_window_holds_mouth_and_eyes() -> None:
    pose = camera_from_head()
    face, mouth = (refine_window(scope, CONFIG, CAMERA, pose) for scope in ("face", "mouth"))
    assert face is not None and mouth is not None
    assert face.y < mouth.y - 20 and face.y + len(face.rows) >= mouth.y + len(mouth.rows)


def test_picture_window_is_all_ones() -> None:
    window = refine_window("picture", CONFIG, CAMERA, camera_from_head())
    assert window is not None
    assert window.weights.shape == (256, 256) and (window.weights == 1.0).all()


@pytest.mark.parametrize(("x", "z"), [(20.0, 7.0), (0.0, -7.0), (0.0, 0.2)])
def test_no_window_where_the_mouth_is_not_seen(x: float, z: float) -> None:
    pose = camera_from_head()
    pose[0, 3], pose[2, 3] = x, z
    assert refine_window("mouth", CONFIG, CAMERA, pose) is None


def test_window_is_cut_at_the_picture() -> None:
    pose = camera_from_head()
    pose[0, 3] = 1.7
    window = refine_window("mouth", CONFIG, CAMERA, pose)
    assert window is not None
    assert window.x + len(window.columns) == 256 and window.columns[-1] > 0.1
