from __future__ import annotations

import numpy as np
import pytest

from editing.evaluate.metrics import (
    EYE_CORNERS,
    LIP_LANDMARKS,
    best_correlation,
    correlation,
    lip_landmark_distance,
    mouth_opening,
    psnr_db,
    ssim,
)


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


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equations 13 to 16, window by window."""
    y, x = np.mgrid[-5:6, -5:6]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                p, q = (picture[top : top + 11, left : left + 11, channel].astype(float) for picture in (a, b))
                mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
                variance_p, variance_q = (weights * (p - mean_p) ** 2).sum(), (weights * (q - mean_q) ** 2).sum()
                covariance = (weights * (p - mean_p) * (q - mean_q)).sum()
                luminance = (2 * mean_p * mean_q + c1) / (mean_p**2 + mean_q**2 + c1)
                values.append(luminance * (2 * covariance + c2) / (variance_p + variance_q + c2))
    return float(np.mean(values))


def test_ssim_matches_the_formula_window_by_window() -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (17, 14, 3), dtype=np.uint8)
    b = np.clip(a + random.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, b) == pytest.approx(slow_ssim(a, b), abs=1e-9)
    assert ssim(a, a) == pytest.approx(1.0)


def test_correlation_of_a_flat_curve_is_none() -> None:
    curve = np.arange(9.0)
    assert correlation(curve, 2 * curve + 1) == pytest.approx(1.0)
    assert correlation(curve, np.ones(9)) is None
