from __future__ import annotations

import numpy as np
import pytest

from editing.evaluate.mouth_motion import mouth_flows, mouth_motion


def flows(seed: int = 0, n: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 10, 12, 2)).astype(np.float16)


def test_the_same_motion_is_perfect() -> None:
    found = mouth_motion(flows(), flows(), 256)
    assert found is not None
    assert (found.correlation, found.gain, found.error_px) == pytest.approx((1.0, 1.0, 0.0))


def test_half_the_motion_has_half_the_gain() -> None:
    found = mouth_motion(flows(), 0.5 * flows(), 256)
    assert found is not None
    assert (found.correlation, found.gain) == pytest.approx((1.0, 0.5), abs=1e-3)
    assert found.error_px == pytest.approx(0.5 * found.original_px, rel=1e-3)


def test_what_both_mouths_always_do_does_not_count_as_the_same_words() -> None:
    always = np.array([0.0, 3.0], np.float16)
    found = mouth_motion(flows(0) + always, flows(1) + always, 256)
    assert found is not None and abs(found.correlation) < 0.1 and abs(found.gain) < 0.1


def test_formulas_match_a_plain_computation() -> None:
    u, v = flows(0).astype(float), flows(0).astype(float) + flows(1).astype(float)
    du, dv = (clip - clip.mean(axis=0, keepdims=True) for clip in (u, v))
    length = np.sqrt(u[..., 0] ** 2 + u[..., 1] ** 2)
    apart = np.sqrt((u[..., 0] - v[..., 0]) ** 2 + (u[..., 1] - v[..., 1]) ** 2)
    found = mouth_motion(u, v, 512)
    assert found is not None
    assert found.correlation == pytest.approx(np.corrcoef(du.ravel(), dv.ravel())[0, 1], abs=1e-3)
    assert found.gain == pytest.approx(np.sum(du * dv) / np.sum(du**2))
    assert found.error_px == pytest.approx(0.5 * np.sum(length * apart) / np.sum(length)), "distances are stated at 256 pixels"


def test_a_mouth_that_stands_still() -> None:
    assert mouth_motion(0 * flows(), flows(), 256) is None
    still = mouth_motion(flows(), 0 * flows(), 256)
    assert still is not None and (still.correlation, still.gain) == (0.0, 0.0)
    assert still.error_px == pytest.approx(still.original_px)


def test_flows_are_of_the_window_only() -> None:
    rest, moved = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 7, np.uint8)

    def level_flow(t: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.full((*t.shape[:2], 2), float(s.mean()) - float(t.mean()), np.float32)

    found = mouth_flows(rest, [moved, rest], (slice(4, 10), slice(2, 14)), level_flow)
    assert found.shape == (2, 6, 12, 2) and (found[0] == 7.0).all() and not found[1].any()
