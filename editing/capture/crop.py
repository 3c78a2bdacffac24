"""The square of the picture that the dataset shows: one for the whole clip, so that the background stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import FACE_OVAL
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8

FACE_SHARE = 0.42
"""Wanted height of the face, forehead to chin, as a share of the square."""
ROOM_ABOVE, ROOM_BELOW, ROOM_ASIDE = 0.65, 0.45, 0.45
"""Least distance from the face's highest, lowest and outermost places to the square's edge, in face heights."""
FACE_DOWN = 0.48
"""Wanted height of the face's centre in the square: hair above, shoulders below."""
SMALLEST_FACE_PX = 90
"""Faces lower than this in the source lack what an avatar has to show."""


@dataclass(frozen=True)
class Crop:
    """A square of source pixels."""

    left: int
    top: int
    side: int
    """all three in pixels of the upright source"""

    def cut(self, picture: UInt8[np.ndarray, "h w 3"], size_px: int) -> UInt8[np.ndarray, "size size 3"]:
        """The square, scaled to `size_px`."""
        import cv2

        square = picture[self.top : self.top + self.side, self.left : self.left + self.side]
        if self.side == size_px:
            return np.ascontiguousarray(square)
        method = cv2.INTER_AREA if self.side > size_px else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=method))


def choose_crop(width: int, height: int, faces: Sequence[Float[np.ndarray, "478 2"]]) -> Crop:
    """From the landmarks of some pictures spread over the clip, in source pixels. Raises BadInput if the face is too small."""
    ovals = np.stack([face[list(FACE_OVAL)] for face in faces])
    low, high = ovals.min(1), ovals.max(1)
    tall = float(np.median(high[:, 1] - low[:, 1]))
    if tall < SMALLEST_FACE_PX:
        raise BadInput(f"the face is {tall:.0f} pixels high; at least {SMALLEST_FACE_PX} are needed: film closer or at a higher resolution")
    left, top = np.percentile(low, 2, axis=0)
    right, bottom = np.percentile(high, 98, axis=0)
    span = max(right - left + 2 * ROOM_ASIDE * tall, bottom - top + (ROOM_ABOVE + ROOM_BELOW) * tall)
    side = int(min(max(tall / FACE_SHARE, span), width, height)) // 2 * 2
    centre = np.median((low + high) / 2, axis=0)
    x = np.clip(centre[0] - side / 2, 0, width - side)
    y = np.clip(centre[1] - FACE_DOWN * side, 0, height - side)
    return Crop(round(float(x)), round(float(y)), side)
