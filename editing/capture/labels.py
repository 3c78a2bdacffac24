"""What a pixel can show, and the parts of it that face landmarks alone decide: face, eyes, brows, lips, the mouth's inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.landmarks import FACE_OVAL, INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, UInt8

LABELS = {"background": 0, "cloth": 1, "neck": 2, "face": 3, "hair": 4, "eye": 5, "lips": 6, "teeth": 7, "mouth": 8, "brow": 9}
"""Names of the parts and their ids, as `synthesize` writes them too."""
TEETH_LIGHTNESS = 105
"""In the mouth's opening, pixels at least this light (0…255) and nearly grey are teeth."""
TEETH_CHROMA = 26
SUBPIXEL_BITS = 4


def polygon(size: tuple[int, int], points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "height width"]:
    """The inside of a polygon in pixels; `size` is height, width."""
    import cv2

    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round((points - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)], 1, shift=SUBPIXEL_BITS)
    return mask.astype(bool)


def part(size: tuple[int, int], landmarks: Float[np.ndarray, "478 2"], indices: Sequence[int]) -> Bool[np.ndarray, "height width"]:
    """The inside of a closed contour of landmarks."""
    return polygon(size, landmarks[list(indices)])


def paint_face(
    labels: UInt8[np.ndarray, "height width"], picture: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 2"]
) -> None:
    """Write the parts that landmarks decide over `labels`, in place; hair over the forehead keeps its label."""
    import cv2

    size = labels.shape[0], labels.shape[1]
    oval = part(size, landmarks, FACE_OVAL)
    labels[oval & (labels != LABELS["hair"])] = LABELS["face"]
    for brow in (LEFT_BROW, RIGHT_BROW):
        labels[part(size, landmarks, brow) & (labels == LABELS["face"])] = LABELS["brow"]
    for eye in (LEFT_EYE, RIGHT_EYE):
        labels[part(size, landmarks, eye)] = LABELS["eye"]
    labels[part(size, landmarks, OUTER_LIPS)] = LABELS["lips"]
    inner = part(size, landmarks, INNER_LIPS)
    labels[inner] = LABELS["mouth"]
    if inner.any():
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int16)
        chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
        labels[inner & (lab[..., 0] >= TEETH_LIGHTNESS) & (chroma <= TEETH_CHROMA)] = LABELS["teeth"]
