"""The still that stands for an avatar before it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.backends.base import RenderOptions, open_backend
from renderer.field.frame_codes import rotation_vector
from renderer.types import FrameCondition

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from renderer.avatar import Avatar

OPEN_EYES = 0.85
"""Eye ratio from which a frame of the track counts as awake."""
FRONTAL = np.diag([1.0, -1.0, -1.0])


def draw_poster(avatar: Avatar, silence: Float[np.ndarray, " dim"]) -> UInt8[np.ndarray, "height width 3"]:
    """The avatar with its mouth at rest, eyes open, in the pose of its track that faces the camera most; `silence` as the encoder
    puts it. Its size is the camera's."""
    awake = np.flatnonzero(avatar.eye_track >= min(OPEN_EYES, float(avatar.eye_track.max())))
    turns = [np.linalg.norm(rotation_vector(FRONTAL @ avatar.pose_track[i][:3, :3])) for i in awake]
    frame = int(awake[int(np.argmin(turns))])
    window = np.tile(silence.astype(np.float32), (avatar.field_config.audio_window.n_steps, 1))
    backend = open_backend(avatar, RenderOptions(size=avatar.camera.height))
    try:
        return backend.render([FrameCondition(frame, window, avatar.pose_track[frame], float(avatar.eye_track[frame]))])[0]
    finally:
        backend.close()
