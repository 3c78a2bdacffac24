from __future__ import annotations

import numpy as np
import pytest

from editing.evaluate.metrics import EYE_CORNERS, LIP_LANDMARKS, best_correlation, lip_landmark_distance, mouth_opening, psnr_db


def test_psnr_of_a_known_error() -> None:
    a = np.zeros((8, 8, 3), np.uint8)
    assert psnr_db(a, a + 255) == pytest.approx(0.0)
    assert psnr_db(a, a + 1) == pytest.approx(48.13, abs=0.01)


def test_psnr_looks_only_inside_the_mask() -> None:
    a = np.zeros((8, 8, 3), np.uint8)
    b = a.copy()
    b[:4] = 255
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    assert psnr_db(a, b, mask) > 90


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_best_correlation_finds_the_lag(lag: int) -> None:
    curve = np.random.default_rng(0).normal(size=200).cumsum()
    best = best_correlation(curve, np.roll(curve, lag))
    assert best.lag_frames == lag and best.correlation > 0.95


def test_best_correlation_of_a_flat_curve_is_none() -> None:
    assert best_correlation(np.random.default_rng(0).normal(size=50), np.zeros(50)).correlation == -1.0


def test_mouth_opening_is_in_units_of_the_eyes_distance() -> None:
    landmarks = np.zeros((478, 2), np.float32)
    landmarks[EYE_CORNERS[1]] = (100, 0)
    landmarks[14] = (0, 20)
    assert mouth_opening(landmarks) == pytest.approx(0.2)


def test_lip_landmark_distance_ignores_the_rest_of_the_face() -> None:
    a, b = np.zeros((478, 2), np.float32), np.zeros((478, 2), np.float32)
    b[:, 0] = 50.0
    b[list(LIP_LANDMARKS), 0] = 2.0
    assert lip_landmark_distance(a, b) == pytest.approx(2.0)
