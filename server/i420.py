"""RGB pictures to I420 planes: by the native library, or in plain numpy where that could not be built (ten times slower).

BT.601, limited range (Y 16...235, U and V 16...240), as video codecs expect. Chroma is the mean of each 2x2 block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BackendUnavailable
from renderer.native_library import load_library, rgb_to_i420

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import UInt8

# Rows Y, U, V of the BT.601 matrix for RGB in 0...255.
_MATRIX = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ],
    np.float32,
) / np.float32(255.0)


def i420_writer() -> Callable[[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, " n"]], object]:
    """The fastest of the functions (rgb, planes) that this machine has."""
    try:
        load_library()
    except BackendUnavailable:
        return write_i420
    return rgb_to_i420


def write_i420(rgb: UInt8[np.ndarray, "height width 3"], planes: UInt8[np.ndarray, " n"]) -> None:
    """Convert `rgb` (even sides) into `planes`: Y, then U, then V, without padding."""
    height, width, _ = rgb.shape
    luma = rgb @ _MATRIX[0] + np.float32(16.5)
    planes[: height * width] = luma.astype(np.uint8).ravel()
    blocks = rgb.reshape(height // 2, 2, width // 2, 2, 3).sum((1, 3), dtype=np.uint16)
    chroma = blocks @ (_MATRIX[1:] / np.float32(4.0)).T + np.float32(128.5)
    planes[height * width :] = np.moveaxis(chroma, 2, 0).astype(np.uint8).ravel()
