"""A head's orientation as three angles, in degrees, in the camera's frame (`renderer.types`).

yaw    positive: the face turns to the picture's right
pitch  positive: the face looks down
roll   about the axis out of the face; positive: the head leans to the picture's left

    R = R_y(-yaw) R_x(pitch) diag(1, -1, -1) R_z(roll)

A head that faces the camera upright is diag(1, -1, -1): all three are 0. Unique for |pitch| < 90 degrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

FACING = np.diag([1.0, -1.0, -1.0])


def head_angles_deg(rotation: Float[np.ndarray, "*n 3 3"]) -> Float[np.ndarray, "*n 3"]:
    """Yaw, pitch, roll of `camera_from_head` rotations."""
    x, y, z = (rotation[..., axis, 2] for axis in range(3))
    yaw, pitch = np.arctan2(x, -z), np.arcsin(np.clip(y, -1.0, 1.0))
    rolled = np.swapaxes(_without_roll(yaw, pitch), -1, -2) @ rotation
    return np.degrees(np.stack([yaw, pitch, np.arctan2(rolled[..., 1, 0], rolled[..., 0, 0])], -1))


def head_rotation(angles_deg: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """The rotations of yaw, pitch, roll."""
    yaw, pitch, roll = np.moveaxis(np.radians(angles_deg), -1, 0)
    return _without_roll(yaw, pitch) @ _about(2, roll)


def _without_roll(yaw: Float[np.ndarray, "*n"], pitch: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3 3"]:
    """In radians."""
    return _about(1, -yaw) @ _about(0, pitch) @ FACING


def _about(axis: int, angle: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3 3"]:
    """Right-handed rotations about x, y or z, in radians."""
    angle = np.asarray(angle, np.float64)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.zeros((*angle.shape, 3, 3))
    rotation[..., axis, axis] = 1.0
    rotation[..., first, first] = rotation[..., second, second] = np.cos(angle)
    rotation[..., first, second], rotation[..., second, first] = -np.sin(angle), np.sin(angle)
    return rotation
