"""Where a dataset was put together from several clips, head and lids jump from one picture to the next.

Pictures within MARGIN_FRAMES of a joint are not trained on or measured: their sound belongs to two clips, and faces of emotional clips come
from rest and go back to it. There an avatar's idle motion goes from one clip's pose to the next one's smoothly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float

MARGIN_FRAMES = 8
"""On either side of a joint, 0.32 s."""


def away_from_joints(n_frames: int, joints: Sequence[int]) -> Bool[np.ndarray, " n_frames"]:
    """Frames that belong to one clip alone."""
    away = np.ones(n_frames, bool)
    for joint in joints:
        away[max(0, joint - MARGIN_FRAMES) : joint + MARGIN_FRAMES] = False
    return away


def eased(values: Float[np.ndarray, " n ..."], joints: Sequence[int]) -> Float[np.ndarray, " n ..."]:
    """The same without jumps: around each joint, from the last value before it to the first one after it."""
    result = np.array(values)
    for joint in joints:
        before, after = max(0, joint - MARGIN_FRAMES - 1), min(len(values) - 1, joint + MARGIN_FRAMES)
        share = (np.arange(before, after + 1) - before) / max(1, after - before)
        share = (share * share * (3.0 - 2.0 * share)).reshape(-1, *(1,) * (values.ndim - 1))
        # Of clips that are shorter than the margins, the way to the next one begins where the last one ended.
        result[before : after + 1] = (1.0 - share) * result[before] + share * values[after]
    return result


def eased_poses(poses: Float[np.ndarray, "n 4 4"], joints: Sequence[int]) -> Float[np.ndarray, "n 4 4"]:
    """The same of head poses: rotations stay rotations, the nearest to what lies between."""
    if not joints:
        return poses
    result = eased(poses.astype(np.float64), joints)
    u, _, vt = np.linalg.svd(result[:, :3, :3])
    result[:, :3, :3] = u @ vt
    return result.astype(poses.dtype)
