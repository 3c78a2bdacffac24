from __future__ import annotations

import numpy as np
import pytest

from editing.evaluate.lip_preservation import lip_preservation
from editing.evaluate.metrics import LIP_LANDMARKS


def face(opening: float = 0.0, dx: float = 0.0) -> np.ndarray:
    """Eyes 100 pixels apart; lips on a circle whose inner gap is `opening`."""
    landmarks = np.zeros((478, 2), np.float32)
    landmarks[33], landmarks[263] = (50.0, 50.0), (150.0, 50.0)
    angles = np.linspace(0.0, 2.0 * np.pi, len(LIP_LANDMARKS), endpoint=False)
    landmarks[list(LIP_LANDMARKS)] = np.stack([100.0 + 20.0 * np.cos(angles), 120.0 + 10.0 * np.sin(angles)], axis=1)
    landmarks[13], landmarks[14] = (100.0, 120.0 - opening / 2), (100.0, 120.0 + opening / 2)
    landmarks[:, 0] += dx
    return landmarks


OPENINGS = 10.0 + 8.0 * np.sin(np.arange(30) / 3.0)


def test_the_same_lips_are_preserved() -> None:
    faces = [face(opening) for opening in OPENINGS]
    found = lip_preservation(faces, faces, 256)
    assert found["lip_lmd_px"] == found["lip_shape_px"] == 0.0
    assert found["lip_opening_correlation"] == pytest.approx(1.0) and found["lip_opening_lag_frames"] == 0
    assert found["faces_found_in_original"] == found["faces_found_in_edited"] == 1.0 and found["lip_frames"] == 30


def test_distances_are_stated_at_256_pixels_and_a_shift_is_no_shape() -> None:
    found = lip_preservation([face(o) for o in OPENINGS], [face(o, dx=4.0) for o in OPENINGS], 512)
    assert found["lip_lmd_px"] == pytest.approx(2.0, rel=1e-5)
    assert found["lip_shape_px"] == pytest.approx(0.0, abs=1e-4)


def test_late_lips_have_a_lag_although_frames_are_missing() -> None:
    edited: list[np.ndarray | None] = [face(o) for o in np.roll(OPENINGS, 2)]
    edited[0] = edited[1] = edited[17] = None
    found = lip_preservation([face(o) for o in OPENINGS], edited, 256)
    assert found["lip_opening_lag_frames"] == 2 and found["lip_opening_correlation"] > 0.95
    assert found["lip_opening_correlation_lag0"] < 0.9
    assert found["faces_found_in_edited"] == pytest.approx(0.9) and found["lip_frames"] == 27


def test_no_face_is_said_and_not_dropped() -> None:
    faces = [face(o) for o in OPENINGS]
    found = lip_preservation(faces, [None] * 30, 256)
    assert found["faces_found_in_edited"] == 0.0 and found["lip_frames"] == 0
    assert found["lip_lmd_px"] is None and "no frame has a face" in found["lip_lmd_px_reason"]
    few = lip_preservation(faces[:5], faces[:5], 256)
    assert few["lip_lmd_px"] == 0.0 and few["lip_opening_correlation_lag0"] is None
    flat = lip_preservation(faces, [face(5.0)] * 30, 256)
    assert "flat" in flat["lip_opening_correlation_lag0_reason"]
    with pytest.raises(ValueError, match="as many"):
        lip_preservation(faces, faces[:3], 256)
