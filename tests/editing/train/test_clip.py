from __future__ import annotations

import numpy as np

from editing.train.clip import continue_neck


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A white head over a red torso on a blue plate, 64 pixels."""
    background = np.zeros((64, 64, 3), np.uint8)
    background[..., 2] = 200
    picture = background.copy()
    head, torso = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    head[10:40, 20:44] = True
    torso[40:, 10:54] = True
    picture[head], picture[torso] = (255, 255, 255), (200, 0, 0)
    return picture, torso, head, background


def test_continue_neck_removes_the_head() -> None:
    result, _ = continue_neck(*scene())
    assert not (result == 255).all(-1).any()
    assert (result[12, 30] == (0, 0, 200)).all(), "above the neck's reach the plate shows"


def test_continue_neck_goes_on_upwards_and_darkens() -> None:
    result, filled = continue_neck(*scene())
    column = result[:, 30, 0].astype(int)
    assert filled[38, 30] and column[39] > 120
    assert (np.diff(column[36:40]) >= 0).all() and column[36] < column[39]


def test_continue_neck_leaves_shoulders_without_a_head_above_alone() -> None:
    result, filled = continue_neck(*scene())
    assert not filled[:40, 12].any()
    assert (result[:40, 12] == (0, 0, 200)).all()
