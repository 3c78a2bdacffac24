"""The picture without its person.

Two cues: where the person is (masks), and stillness. What stays behind a moving head keeps its colour; hair does not, even where it
never leaves a pixel free. So a colour belongs to the background only if it came back often enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, UInt8

MIN_SIGHTINGS = 3
"""A pixel seen free in fewer of the looked-at frames is not known."""
STEADY_SHARE = 0.7
"""Share of a pixel's free sightings that must agree with their median."""
STILL_SHARE = 0.3
"""Share of all frames in which a still pixel shows the same colour."""
QUIETEST_NOISE = 2.0
"""Standard deviation of a channel, 8 bits: compressed video hardly has less."""
AGREEMENT = 3.0
"""Colours agree within this many standard deviations of the clip's noise."""
STILLNESS_PX = 128
"""Size at which stillness is looked for: its time grows with the frames squared."""
ROWS_AT_ONCE = 64
BEYOND = 256
"""Marks what is not free; sorts after every colour."""
INPAINT_RADIUS_PX = 4


@dataclass(frozen=True)
class CleanPlate:
    """The background."""

    picture: UInt8[np.ndarray, "height width 3"]
    """complete: where it was never seen, painted in from around"""
    known: Bool[np.ndarray, "height width"]
    """where it was seen"""


def _median_where(frames: UInt8[np.ndarray, "n h w 3"], free: Bool[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Each channel's (lower) median over the frames that are free there; 0 where none is."""
    ordered = np.where(free[..., None], frames, np.int16(BEYOND)).transpose(1, 2, 3, 0)
    ordered = np.sort(ordered, axis=-1)
    middle = np.maximum(free.sum(0) - 1, 0) // 2
    found = np.take_along_axis(ordered, middle[..., None, None], -1)[..., 0]
    return np.where(found == BEYOND, 0, found).astype(np.uint8)


def noise_of(frames: UInt8[np.ndarray, "n height width 3"]) -> float:
    """Standard deviation in time of the clip's quietest quarter, 8 bits."""
    spread = np.median(np.abs(frames[::2, ::4, ::4].astype(np.float32) - np.median(frames[::2, ::4, ::4], axis=0)), axis=0).max(-1)
    return max(QUIETEST_NOISE, 1.48 * float(np.percentile(spread, 12.5)))


def still_background(
    frames: UInt8[np.ndarray, "n height width 3"], never: Bool[np.ndarray, "n height width"]
) -> Bool[np.ndarray, "n height width"]:
    """Where each frame shows a colour that its pixel keeps coming back to; `never` marks what cannot be background."""
    import cv2

    n, height, width = never.shape
    small = np.stack([cv2.resize(f, (STILLNESS_PX, STILLNESS_PX), interpolation=cv2.INTER_AREA) for f in frames]).astype(np.int16)
    blocked = np.stack([cv2.resize(m.astype(np.uint8), (STILLNESS_PX, STILLNESS_PX), interpolation=cv2.INTER_NEAREST) for m in never]) > 0
    radius = AGREEMENT * noise_of(frames)
    agreeing = np.zeros(blocked.shape, np.int16)
    for k in range(n):
        agreeing += (np.abs(small - small[k]).max(-1) <= radius) & ~blocked[k]
    agreeing[blocked] = 0
    still = agreeing >= max(MIN_SIGHTINGS, STILL_SHARE * n)
    return np.stack([cv2.resize(m.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool) for m in still]) & ~never


def clean_plate(frames: UInt8[np.ndarray, "n height width 3"], person: Bool[np.ndarray, "n height width"]) -> CleanPlate:
    """From frames and masks that hold all of the person, with a margin."""
    import cv2

    n, height, width = person.shape
    known = (~person).sum(0) >= min(MIN_SIGHTINGS, n)
    plate = np.zeros((height, width, 3), np.uint8)
    radius = AGREEMENT * noise_of(frames)
    for top in range(0, height, ROWS_AT_ONCE):
        rows = slice(top, min(height, top + ROWS_AT_ONCE))
        free = ~person[:, rows]
        plate[rows] = _median_where(frames[:, rows], free)
        agrees = (np.abs(frames[:, rows].astype(np.int16) - plate[rows]).max(-1) <= radius) & free
        known[rows] &= agrees.sum(0) >= STEADY_SHARE * free.sum(0)
    if known.all():
        return CleanPlate(plate, known)
    if not known.any():
        return CleanPlate(np.full_like(plate, np.median(frames[::8, ::8].reshape(-1, 3), axis=0).astype(np.uint8)), known)
    # Large holes are painted in at a quarter of the size first: thin brushes leave streaks across them.
    small = cv2.resize(plate, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    hole = cv2.resize((~known).astype(np.uint8), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    hole = np.maximum(
        hole, (cv2.resize((~known).astype(np.float32), (width // 4, height // 4), interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    )
    coarse = cv2.inpaint(small, hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    near = cv2.inpaint(plate, (~known).astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 3)
    share = np.clip(distance / 12.0, 0.0, 1.0)[..., None]
    filled = near * (1.0 - share) + coarse * share
    return CleanPlate(np.where(known[..., None], plate, filled).astype(np.uint8), known)
