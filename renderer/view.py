"""Seeing the avatar from another side, or closer.

The camera turns around the head's centre and keeps its distance; zooming shows a window of the avatar's own picture at the full raster.
A field knows the head from the sides that its training clip showed, so a turn ends a little beyond what the clip's own poses reach.
The torso is a picture that follows the head's pose (RAD-NeRF, section 3.3), not a body in space: shoulders and background stay where they
are, and beyond the edge of the clip's picture there is nothing, so a window never grows larger than the picture.

yaw    degrees, positive: the face turns to the picture's right
pitch  degrees, positive: the face looks down
zoom   1: the whole picture; 2: half its width and height
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BadInput
from renderer.types import PictureWindow

if TYPE_CHECKING:
    from jaxtyping import Float

    from renderer.avatar import Avatar

MAX_YAW_DEG, MAX_PITCH_DEG, MAX_ZOOM = 25.0, 12.0, 2.0
YAW_MARGIN_DEG, PITCH_MARGIN_DEG = 10.0, 6.0
"""Beyond the outermost poses of the clip. Farther, hair and cheek fall into crumbs (seen in pictures of the bundled avatar)."""
EASE_SHARE = 0.3
"""Of the way that is left, a frame: a turn is done, but for a tenth, in a quarter of a second."""
ARRIVED = 1e-3
"""Degrees, or zoom, from where on the way counts as done."""


@dataclass(frozen=True)
class View:
    """A wish; see the module for the signs."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        """Raises BadInput."""
        for name, value, least, most in (
            ("yaw", self.yaw_deg, -MAX_YAW_DEG, MAX_YAW_DEG),
            ("pitch", self.pitch_deg, -MAX_PITCH_DEG, MAX_PITCH_DEG),
            ("zoom", self.zoom, 1.0, MAX_ZOOM),
        ):
            if not least <= value <= most:
                raise BadInput(f"{name} {value:g}: {least:g} to {most:g} is possible")

    def towards(self, goal: View, frames: int) -> View:
        """The view `frames` frames later, on the way to `goal`."""
        share = (1.0 - EASE_SHARE) ** frames
        here, there = (self.yaw_deg, self.pitch_deg, self.zoom), (goal.yaw_deg, goal.pitch_deg, goal.zoom)
        if max(abs(a - b) for a, b in zip(here, there, strict=True)) * share < ARRIVED:
            return goal
        return View(*(b + (a - b) * share for a, b in zip(here, there, strict=True)))


FRONT = View()


class Viewpoint:
    """What views of one avatar depend on beside the frame: the range of its clip's poses, and where its head usually is."""

    def __init__(self, avatar: Avatar) -> None:
        poses, camera = avatar.pose_track.astype(np.float64), avatar.camera
        self._centre = np.asarray(avatar.field_config.head_centre, np.float64)
        angles = np.stack(facing_deg(poses), -1)
        margins = np.array([YAW_MARGIN_DEG, PITCH_MARGIN_DEG])
        self._least_deg, self._most_deg = angles.min(0) - margins, angles.max(0) + margins
        middle = (poses[:, :3, :3] @ self._centre + poses[:, :3, 3]).mean(0)
        self._head = (
            float(camera.fx * middle[0] / middle[2] + camera.cx) / camera.width,
            float(camera.fy * middle[1] / middle[2] + camera.cy) / camera.height,
        )

    @property
    def facing_range_deg(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Least and most yaw, and least and most pitch, that a turned face reaches in the camera's frame (see `facing_deg`)."""
        (yaw, pitch), (most_yaw, most_pitch) = self._least_deg, self._most_deg
        return (float(yaw), float(most_yaw)), (float(pitch), float(most_pitch))

    def turned(self, camera_from_head: Float[np.ndarray, "4 4"], view: View) -> Float[np.ndarray, "4 4"]:
        """The head's pose as the turned camera sees it, float32; the head's centre stays in its place."""
        if view.yaw_deg == 0.0 and view.pitch_deg == 0.0:
            return camera_from_head
        pose = np.asarray(camera_from_head, np.float64)
        facing = np.array(facing_deg(pose))
        goal = np.clip(facing + np.array([view.yaw_deg, view.pitch_deg]), self._least_deg, self._most_deg)
        yaw, pitch = np.radians(goal - facing)
        rotation = _about_x(pitch) @ _about_y(-yaw)
        middle = pose[:3, :3] @ self._centre + pose[:3, 3]
        turned = np.eye(4)
        turned[:3, :3] = rotation @ pose[:3, :3]
        turned[:3, 3] = middle - turned[:3, :3] @ self._centre
        return turned.astype(np.float32)

    def window(self, view: View) -> PictureWindow | None:
        """What is seen of the avatar's own picture: around the head, and inside the picture; None: all of it."""
        if view.zoom == 1.0:
            return None
        share = 1.0 / view.zoom
        left, top = (min(max(0.0, place - share / 2.0), 1.0 - share) for place in self._head)
        return PictureWindow(left, top, share, share)


def facing_deg(camera_from_head: Float[np.ndarray, "*n 4 4"]) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Yaw and pitch of the face in the camera's frame (x right, y down, z away from the camera)."""
    x, y, z = (camera_from_head[..., axis, 2] for axis in range(3))
    return np.degrees(np.arctan2(x, -z)), np.degrees(np.arcsin(np.clip(y, -1.0, 1.0)))


def _about_x(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_y(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
