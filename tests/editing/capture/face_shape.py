"""A face of 478 landmarks in MediaPipe's order: that of the synthetic presenter, as the landmarker saw it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("presenter_landmarks.npy")


@lru_cache(maxsize=1)
def face_shape() -> np.ndarray:
    """[478, 3] in centimetres: x image-right, y up, z out of the face."""
    return np.asarray(np.load(PATH), float)


def project(shape: np.ndarray, rotation: np.ndarray, translation: np.ndarray, focal_px: float, size_px: int) -> np.ndarray:
    """[478, 3]: pixels, and depth in the scale of pixels, smaller is nearer."""
    camera = shape @ rotation.T + translation
    pixels = focal_px * camera[:, :2] / camera[:, 2:] + size_px / 2
    depth = (camera[:, 2:] - camera[:, 2].mean()) * focal_px / translation[2]
    return np.concatenate([pixels, depth], 1)
