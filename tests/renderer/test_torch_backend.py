"""What only the torch reference gives: the depth of a head whose shape is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from renderer.backends.base import RenderOptions
from renderer.backends.torch_backend import TorchBackend
from tests.renderer.synthetic_avatar import CAMERA_DISTANCE, RADII, synthetic_avatar, synthetic_condition

SIZE_PX = 64


def test_depth_is_the_distance_of_the_surface() -> None:
    avatar = synthetic_avatar(small=True)
    frontal = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)
    frontal[2, 3] = CAMERA_DISTANCE
    condition = dataclasses.replace(synthetic_condition(avatar), camera_from_head=frontal)
    distance, opacity = TorchBackend(avatar, RenderOptions(size=SIZE_PX)).depth(condition)
    assert distance.shape == opacity.shape == (SIZE_PX, SIZE_PX)
    middle = SIZE_PX // 2
    # Not at once opaque: the ray goes a little into the head.
    assert CAMERA_DISTANCE - RADII[2] - 0.05 < distance[middle, middle] < CAMERA_DISTANCE - RADII[2] + 0.15
    assert opacity[middle, middle] == pytest.approx(1.0, abs=1e-3)
    assert opacity[0, 0] == distance[0, 0] == 0.0, "the corner shows no head"
    row = distance[middle, middle : middle + 16]
    assert (np.diff(row) > -0.02).all() and row[-1] > row[0] + 0.1, "the head is not round"
