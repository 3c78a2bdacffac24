"""Emotion crossed with everything else that a frame's condition holds, on avatars that take one and avatars that do not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from renderer.backends.base import RenderOptions, open_backend
from renderer.emotion import Emotion, emotion_code
from renderer.types import PictureWindow
from renderer.view import View, Viewpoint
from tests.renderer.refiner.random_refiner import random_network
from tests.renderer.synthetic_avatar import synthetic_avatar, synthetic_condition

if TYPE_CHECKING:
    from renderer.avatar import Avatar
    from renderer.types import FrameCondition

SIZE_PX = 64
ANGRY = emotion_code(Emotion("angry", 1.0))


def avatars(emotional: bool) -> Avatar:
    """With a refiner, so that omega means something."""
    return synthetic_avatar(small=True, size_px=SIZE_PX, emotional=emotional).replace(refiner=random_network().to_refiner())


def changed(condition: FrameCondition, avatar: Avatar, what: str) -> FrameCondition:
    if what == "view":
        return dataclasses.replace(
            condition, camera_from_head=Viewpoint(avatar).turned(condition.camera_from_head, View(yaw_deg=8.0)).astype(np.float32)
        )
    changes = {
        "omega": {"refine_weight": 0.0},
        "background": {"background": np.full((32, 32, 3), (250, 10, 200), np.uint8)},
        "zoom": {"window": PictureWindow(0.2, 0.1, 0.6, 0.6)},
        "eyes": {"eye_ratio": 0.0},
        "smoothing": {"smoothing": 0.5},
    }[what]
    return dataclasses.replace(condition, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["omega", "background", "view", "zoom", "eyes", "smoothing"])
def test_emotion_crosses_with(what: str) -> None:
    """Each changes the picture of an angry face, and anger the picture under each; a plain avatar takes no notice of anger at all."""
    for emotional in (True, False):
        avatar = avatars(emotional)
        backend = open_backend(avatar, RenderOptions(size=SIZE_PX, refine_scope="picture"), "cpu")
        plain = synthetic_condition(avatar, 1, eye_ratio=1.0)
        angry = dataclasses.replace(plain, emotion=ANGRY)
        pictures = {(c, e): backend.render([changed(x, avatar, what) if c else x])[0] for e, x in enumerate((plain, angry)) for c in (0, 1)}
        backend.close()
        assert not np.array_equal(pictures[0, 1], pictures[1, 1]), f"{what} does nothing to an angry face"
        for c in (0, 1):
            assert np.array_equal(pictures[c, 0], pictures[c, 1]) != emotional
