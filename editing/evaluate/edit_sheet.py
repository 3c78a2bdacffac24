"""The picture sheet of an edit: a column for each of some frames.

Rows, from the top: original, edited, the original's mouth, the edited mouth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.evaluate.metrics import LIP_LANDMARKS
from editing.evaluate.regions import MOUTH_MARGIN
from editing.evaluate.sheet import save_sheet
from renderer.images import quantise, resize_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, UInt8


def mouth_square(
    landmarks: Float[np.ndarray, "478 2"] | None, window: tuple[slice, slice] | None, height: int, width: int
) -> tuple[slice, slice]:
    """Rows and columns around the original's lips; where no face was found, of the middle of the window in which the audio acts."""
    if landmarks is not None:
        lips = landmarks[list(LIP_LANDMARKS)]
        (x, y), size = (lips.min(0) + lips.max(0)) / 2.0, (1.0 + 2.0 * MOUTH_MARGIN) * float(np.ptp(lips[:, 0]))
    elif window is not None:
        rows, columns = window
        x, y, size = 0.5 * (columns.start + columns.stop), 0.5 * (rows.start + rows.stop), 0.6 * (rows.stop - rows.start)
    else:
        x, y, size = 0.5 * width, 0.65 * height, 0.3 * height
    side = max(8, min(round(size), height, width))
    top = min(max(0, round(y - side / 2)), height - side)
    left = min(max(0, round(x - side / 2)), width - side)
    return slice(top, top + side), slice(left, left + side)


def compose_edit(
    original: UInt8[np.ndarray, "n h w 3"],
    edited: UInt8[np.ndarray, "n h w 3"],
    landmarks: Sequence[Float[np.ndarray, "478 2"] | None],
    window: tuple[slice, slice] | None,
) -> UInt8[np.ndarray, "sheet_h sheet_w 3"]:
    """The whole sheet; both mouths of a frame are cut from the same place."""
    height, width = original.shape[1:3]
    squares = [mouth_square(found, window, height, width) for found in landmarks]

    def mouths(pictures: UInt8[np.ndarray, "n h w 3"]) -> list[UInt8[np.ndarray, "w w 3"]]:
        cut = (np.ascontiguousarray(picture[square]) for picture, square in zip(pictures, squares, strict=True))
        return [quantise(resize_picture(mouth, width, width)) for mouth in cut]

    return np.vstack([np.hstack(row) for row in (list(original), list(edited), mouths(original), mouths(edited))])


def write_edit_sheet(
    path: Path,
    original: UInt8[np.ndarray, "n h w 3"],
    edited: UInt8[np.ndarray, "n h w 3"],
    landmarks: Sequence[Float[np.ndarray, "478 2"] | None],
    window: tuple[slice, slice] | None,
) -> None:
    """The sheet as a PNG, whole or not at all."""
    save_sheet(path, compose_edit(original, edited, landmarks, window))
