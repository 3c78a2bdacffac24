"""Where a picture is looked at: masks of a frame by the dataset's labels, boolean [height, width]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from editing.train.clip import FACE_LABELS, LIP_LABELS, TORSO_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool

    from editing.dataset import Dataset

LIP_MARGIN_PX = 3
"""The lips' surroundings count as well: that is where a mouth that is open too far or too little goes."""
MOUTH_BOX_MARGIN = 6 / 256
"""Of the picture's height, around the lips' box: a viewer sees the mouth with the skin around it."""
MOUTH_MARGIN = 0.3
"""Of the mouth's width, on either side of it in a close-up."""


def mask(dataset: Dataset, frame: int, names: Sequence[str]) -> Bool[np.ndarray, "h w"]:
    """Pixels with one of the labels; a dataset may lack some of them."""
    ids = dataset.meta.labels
    return np.isin(dataset.labels[frame], [ids[name] for name in names if name in ids])


def regions(dataset: Dataset, frame: int) -> dict[str, Bool[np.ndarray, "h w"]]:
    """The parts of a picture that have a PSNR of their own: head, face (hair and ears left out), a box around the mouth, lips."""
    lips = mask(dataset, frame, LIP_LABELS)
    mouth, rows, columns = np.zeros_like(lips), lips.any(1), lips.any(0)
    if lips.any():
        margin = round(MOUTH_BOX_MARGIN * len(lips))
        (top, bottom), (left, right) = (np.flatnonzero(side)[[0, -1]] for side in (rows, columns))
        mouth[max(0, top - margin) : bottom + margin + 1, max(0, left - margin) : right + margin + 1] = True
    return {
        "head": ~mask(dataset, frame, ("background", *TORSO_LABELS)),
        "face": mask(dataset, frame, FACE_LABELS),
        "mouth": mouth,
        "lips": ndimage.binary_dilation(lips, iterations=LIP_MARGIN_PX),
    }


def mouth_squares(dataset: Dataset, frames: Sequence[int]) -> list[tuple[slice, slice]]:
    """Rows and columns of a square around each frame's mouth: of one size, that of the widest mouth, and within the picture."""
    height, width = dataset.labels.shape[1:]
    boxes = []
    for frame in frames:
        ys, xs = np.nonzero(mask(dataset, frame, LIP_LABELS))
        if not len(xs):
            xs, ys = np.array([width * 3 // 8, width * 5 // 8]), np.array([height * 5 // 8])
        boxes.append((int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1))
    widest = max(right - left for left, right, _, _ in boxes)
    size = min(height, width, round((1.0 + 2.0 * MOUTH_MARGIN) * widest))

    def side(low: int, high: int, end: int) -> slice:
        first = min(max(0, round((low + high - size) / 2)), end - size)
        return slice(first, first + size)

    return [(side(top, bottom, height), side(left, right, width)) for left, right, top, bottom in boxes]
