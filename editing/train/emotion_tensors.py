"""An avatar's weights for a field with emotion, and for one without: where a training begins with another avatar."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from renderer.emotion import EMOTION_DIM, NEUTRAL, emotion_code
from renderer.field.parameters import EMOTION_TENSORS

if TYPE_CHECKING:
    from renderer.avatar import Avatar


def with_emotion(avatar: Avatar) -> Avatar:
    """The avatar with an emotion that changes nothing yet; one that has emotions as it is."""
    if avatar.is_emotional:
        return avatar
    config = dataclasses.replace(avatar.field_config, emotion_dim=EMOTION_DIM)
    zeros = {name: np.zeros((config.hidden, EMOTION_DIM), np.float32) for name in EMOTION_TENSORS}
    return avatar.replace(field_config=config, tensors={**avatar.tensors, **zeros})


def without_emotion(avatar: Avatar) -> Avatar:
    """The avatar's neutral face, as a field that takes no emotion; one without emotions as it is."""
    if not avatar.is_emotional:
        return avatar
    config = dataclasses.replace(avatar.field_config, emotion_dim=0)
    tensors, code = dict(avatar.tensors), emotion_code(NEUTRAL)
    for name in EMOTION_TENSORS:
        layer = name.rpartition(".")[0]
        tensors[f"{layer}.bias"] = tensors[f"{layer}.bias"] + tensors.pop(name) @ code
    return avatar.replace(field_config=config, tensors=tensors)
