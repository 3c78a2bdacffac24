from __future__ import annotations

import numpy as np

from editing.train.clip import continue_torso


def scene() -> tuple[np.ndarray, ...]:
    """A white head over a red torso on a blue plate, 64 pixels: picture, cloth, neck, head, plate."""
    background = np.zeros((64, 64, 3), np.uint8)
    background[..., 2] = 200
    picture = background.copy()
    head, torso = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    head[10:40, 20:44] = True
    torso[40:, 10:54] = True
    picture[head], picture[torso] = (255, 255, 255), (200, 0, 0)
    neck = torso.copy()
    neck[:, :24] = neck[:, 40:] = False
    return picture, torso & ~neck, neck, head, background


def test_continue_torso_removes_the_head() -> None:
    result, _ = continue_torso(*scene())
    assert not (result == 255).all(-1).any()
    assert (result[12, 30] == (0, 0, 200)).all(), "above the neck's reach the plate shows"


def test_neck_goes_on_upwards_and_darkens() -> None:
    result, filled = continue_torso(*scene())
    column = result[:, 30, 0].astype(int)
    assert filled[38, 30] and column[39] > 120
    assert (np.diff(column[36:40]) >= 0).all() and column[36] < column[39]


def test_continue_torso_leaves_shoulders_without_a_head_above_alone() -> None:
    result, filled = continue_torso(*scene())
    assert not filled[:40, 12].any()
    assert (result[:40, 12] == (0, 0, 200)).all()


def test_clothes_under_hair_go_on_less_far_than_the_neck() -> None:
    _, filled = continue_torso(*scene())
    assert filled[:, 30].sum() > filled[:, 22].sum() > 24
