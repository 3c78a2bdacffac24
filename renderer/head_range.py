"""Another head's movement put on an avatar, within what its field knows.

A movement (`renderer.head_guide`) is damped by a fixed share and added to the avatar's mean pose: its own rest. What results is held
softly to the range of the training clip's poses: L tanh(x / L), one to one near the rest and never beyond L. For yaw and pitch L is what
a view may reach (`renderer.view`: the clip's poses and a margin), for roll the clip's and `ROLL_MARGIN_DEG`, for the place of the head
the clip's alone, for shoulders are a picture and do not come along. Eyes move between the clip's most closed and its usual opening.

A view that is dragged turns the camera around the head that results, within the same range: at its edge the view has the last word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.head_angles import head_angles_deg, head_rotation
from renderer.view import PITCH_MARGIN_DEG, YAW_MARGIN_DEG

if TYPE_CHECKING:
    from jaxtyping import Float

    from renderer.avatar import Avatar
    from renderer.head_guide import HeadMovement

TURN_SHARE = 0.8
"""Of the movement's angles: who looks at a screen's edge turns farther than a head-and-shoulders picture bears."""
SHIFT_SHARE = 0.5
ROLL_MARGIN_DEG = 4.0


class HeadRange:
    """The range of one avatar."""

    def __init__(self, avatar: Avatar) -> None:
        poses = avatar.pose_track.astype(np.float64)
        self._head_centre = np.asarray(avatar.field_config.head_centre, np.float64)
        angles_deg = head_angles_deg(poses[:, :3, :3])
        centres = poses[:, :3, :3] @ self._head_centre + poses[:, :3, 3]
        self._angles_deg, self._centre = angles_deg.mean(0), centres.mean(0)
        margins = np.array([YAW_MARGIN_DEG, PITCH_MARGIN_DEG, ROLL_MARGIN_DEG])
        self._turns_deg = (angles_deg.min(0) - margins - self._angles_deg, angles_deg.max(0) + margins - self._angles_deg)
        self._shifts = (centres.min(0) - self._centre, centres.max(0) - self._centre)
        self._closed_eye, self._open_eye = float(avatar.eye_track.min()), float(np.median(avatar.eye_track))

    def pose(self, own: Float[np.ndarray, "4 4"], movement: HeadMovement) -> Float[np.ndarray, "4 4"]:
        """`camera_from_head`, float32: between the clip's `own` pose and the one that follows, by the movement's share."""
        share = movement.eased_share
        if share == 0.0:
            return own
        pose = np.asarray(own, np.float64)
        angles_deg = self._angles_deg + soft_limit(TURN_SHARE * movement.turn_deg, *self._turns_deg)
        centre = self._centre + soft_limit(SHIFT_SHARE * movement.shift, *self._shifts)
        own_deg, own_centre = head_angles_deg(pose[:3, :3]), pose[:3, :3] @ self._head_centre + pose[:3, 3]
        placed = np.eye(4)
        placed[:3, :3] = head_rotation(own_deg + share * (angles_deg - own_deg))
        placed[:3, 3] = own_centre + share * (centre - own_centre) - placed[:3, :3] @ self._head_centre
        return placed.astype(np.float32)

    def eye_ratio(self, own: float, movement: HeadMovement) -> float:
        """The same of the eyes."""
        followed = self._closed_eye + movement.eye_openness * (self._open_eye - self._closed_eye)
        return own + movement.eased_share * (followed - own)


def soft_limit(value: Float[np.ndarray, " n"], least: Float[np.ndarray, " n"], most: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """`value` itself near 0, and never beyond `least` (at most 0) or `most` (at least 0)."""
    limit = np.where(value >= 0.0, most, -least)
    safe = np.where(limit > 0.0, limit, 1.0)
    limited: Float[np.ndarray, " n"] = np.where(limit > 0.0, limit * np.tanh(value / safe), 0.0)
    return limited
