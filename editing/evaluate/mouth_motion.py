"""Do the lips move alike? Without a face detector, which fails on sketches and statues: by the optical flow around the mouth.

Both avatars speak the same sound with the head held still and the eyes open, so that nothing but the sound moves anything. u_k(p) is where
the pixel p of the silent mouth has gone in frame k of the original, v_k(p) the same of the edited avatar, each by the flow of its own
pictures. What is looked at is the window in which the avatar's audio acts (from the chin to below the eyes). With u' and v' the flows less
each pixel's mean over time,

    correlation = Σ u'·v' / √(Σ|u'|² Σ|v'|²),   gain = Σ u'·v' / Σ|u'|²,   error = Σ |u| |u − v| / Σ|u|

over all pixels and frames: 1, 1 and 0 where the edited mouth moves exactly as the original, correlation about 0 for the lips of other
words. A mouth that moves half as far has gain ½. The error is weighted by how far the original moves, as most of the window stands still.
What it does not see: a shape of the lips that is another one already in silence. What disturbs it: flow is vague in flat colours, and teeth
and tongue come out of nothing; so it is below 1 for edits that keep the lips, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.refiner.window import refine_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float, UInt8

    from editing.evaluate.shared_drive import SharedDrive
    from editing.evaluate.warping_error import Flow
    from renderer.avatar import Avatar

REFERENCE_HEIGHT_PX = 256
"""Distances are stated at this height of the picture."""
LEAST_MOTION_PX = 0.02
"""Mean length of the original's flow at the reference height; less is a mouth that does not speak."""


@dataclass(frozen=True)
class MouthMotion:
    """How an edited mouth moves against the original's."""

    correlation: float
    """-1…1"""
    gain: float
    """1: as far as the original"""
    error_px: float
    """at a height of 256 pixels"""
    original_px: float
    """how far the original's pixels move, with the same weights: the scale of the error"""


def mouth_window(avatar: Avatar, drive: SharedDrive) -> tuple[slice, slice] | None:
    """Rows and columns in which the audio acts at the drive's first pose; None where that is not in the picture."""
    window = refine_window("mouth", avatar.field_config, avatar.camera, drive.poses[0])
    if window is None:
        return None
    return slice(window.y, window.y + len(window.rows)), slice(window.x, window.x + len(window.columns))


def mouth_flows(
    rest: UInt8[np.ndarray, "h w 3"], pictures: Iterable[UInt8[np.ndarray, "h w 3"]], window: tuple[slice, slice], flow: Flow
) -> Float[np.ndarray, "n rows columns 2"]:
    """The flow from the resting mouth to each picture's, in pixels; half precision, since a clip's are kept."""
    mouth = np.ascontiguousarray(rest[window])
    return np.stack([flow(mouth, np.ascontiguousarray(picture[window])).astype(np.float16) for picture in pictures])


def mouth_motion(
    original: Float[np.ndarray, "n rows columns 2"], edited: Float[np.ndarray, "n rows columns 2"], height_px: int
) -> MouthMotion | None:
    """By the flows of pictures of a given height; None where the original's mouth does not move."""
    u, v = original.astype(np.float64), edited.astype(np.float64)
    length = np.linalg.norm(u, axis=-1)
    scale = REFERENCE_HEIGHT_PX / height_px
    if length.mean() * scale < LEAST_MOTION_PX:
        return None
    du, dv = u - u.mean(0), v - v.mean(0)
    together, own, other = float((du * dv).sum()), float((du * du).sum()), float((dv * dv).sum())
    if own <= 0.0:
        return None
    correlation = together / float(np.sqrt(own * other)) if other > 0.0 else 0.0
    error = float((length * np.linalg.norm(u - v, axis=-1)).sum() / length.sum())
    return MouthMotion(correlation, together / own, error * scale, float((length**2).sum() / length.sum()) * scale)
