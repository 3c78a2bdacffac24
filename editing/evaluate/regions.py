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
MOUTH_MARGIN = 0.3
"""Of the mouth's width, around it in a close-up."""


def mask(dataset: Dataset, frame: int, names: Sequence[str]) -> Bool[np.ndarray, "h w"]:
    """Pixels with one of the labels; a dataset may lack some of them."""
    ids = dataset.meta.labels
    return np.isin(dataset.labels[frame], [ids[name] for name in names if name in ids])


def regions(dataset: Dataset, frame: int) -> dict[str, Bool[np.ndarray, "h w"]]:
    """The parts of a picture that have a PSNR of their own: head, face (hair and ears left out), lips."""
    return {
        "head": ~mask(dataset, frame, ("background", *TORSO_LABELS)),
        "face": mask(dataset, frame, FACE_LABELS),
        "lips": ndimage.binary_dilation(mask(dataset, frame, LIP_LABELS), iterations=LIP_MARGIN_PX),
    }


def mouth_square(dataset: Dataset, frame: int) -> tuple[slice, slice]:
    """Rows and columns of a square around the mouth that lies within the picture."""
    height, width = dataset.labels.shape[1:]
    ys, xs = np.nonzero(mask(dataset, frame, LIP_LABELS))
    if not len(xs):
        xs, ys = np.array([width * 3 // 8, width * 5 // 8]), np.array([height * 5 // 8])
    size = min(height, width, round((1.0 + 2.0 * MOUTH_MARGIN) * (int(np.ptp(xs)) + 1)))
    left = min(max(0, round((int(xs.min()) + int(xs.max()) + 1 - size) / 2)), width - size)
    top = min(max(0, round((int(ys.min()) + int(ys.max()) + 1 - size) / 2)), height - size)
    return slice(top, top + size), slice(left, left + size)
