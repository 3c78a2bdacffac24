"""Sharp little pictures and blurred ones of the same: what an editor shows, and what an over-smooth field makes of it."""

from __future__ import annotations

import numpy as np

from editing.edit.refiner_training import RefinerPair

SIZE_PX = 48


def blurred(picture: np.ndarray) -> np.ndarray:
    """The mean over 5 x 5 pixels, as a triangle along each axis."""
    for axis in (0, 1):
        padded = np.pad(picture, [(2, 2) if i == axis else (0, 0) for i in range(3)], mode="edge")
        parts = [np.take(padded, range(i, i + picture.shape[axis]), axis) for i in range(5)]
        picture = sum(weight * part for weight, part in zip((1, 2, 3, 2, 1), parts, strict=True)) / 9.0
    return picture


def picture_pair(index: int, size_px: int = SIZE_PX) -> RefinerPair:
    """Stripes and a disc with grain."""
    y, x = np.mgrid[:size_px, :size_px]
    stripes = np.sin(x * (0.6 + 0.2 * index) + 0.3 * y) > 0
    disc = (x - size_px / 2) ** 2 + (y - size_px / 2 - index) ** 2 < size_px**2 / 11.5
    grain = 0.05 * np.random.default_rng(index).normal(size=(size_px, size_px, 1))
    sharp = np.clip(np.stack([0.2 + 0.6 * stripes, 0.3 + 0.4 * disc, 0.5 + 0.3 * (stripes & disc)], -1) + grain, 0, 1)
    lips = np.zeros((size_px, size_px), bool)
    lips[size_px // 2 + 4 : size_px // 2 + 10, size_px // 4 : size_px // 4 + 14] = True
    rendered, edited = ((255 * picture + 0.5).astype(np.uint8) for picture in (blurred(sharp), sharp))
    return RefinerPair(rendered, edited, edited, lips)
