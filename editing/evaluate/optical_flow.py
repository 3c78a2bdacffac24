"""Dense optical flow between two pictures, and what it says of the pixels of one that are hidden in the other.

Conventions: a flow from picture t to picture s is [h, w, 2], (x, y) in pixels: what is at p in t is at p + flow(p) in s. A picture is
warped backwards: the warped s shows at p what s shows at p + flow(p), so it lies on t's raster.

The flow is OpenCV's Dense Inverse Search (Kroeger et al. 2016), which needs no weights and gives the same numbers in every run. The paper's
PWC-Net needs weights and code that no package of this project has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, UInt8

CONSISTENCY_SLOPE, CONSISTENCY_FLOOR = 0.01, 0.5
"""Of equation 5 of Ruder et al. 2016 (after Sundaram et al. 2010), the floor in square pixels."""
BOUNDARY_SLOPE, BOUNDARY_FLOOR = 0.01, 0.002
"""Of its equation 6: where the flow's gradient is larger, objects meet and neither flow is to be trusted."""


class DenseFlow:
    """OpenCV's DIS on grey values."""

    name = "OpenCV DIS"

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, t: UInt8[np.ndarray, "h w 3"], s: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 2"]:
        """From t to s."""
        import cv2

        grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in (t, s)]
        return np.asarray(self._dis.calc(grey[0], grey[1], np.zeros((*t.shape[:2], 2), np.float32)), np.float32)


def warp(picture: Float32[np.ndarray, "h w *channels"], flow: Float32[np.ndarray, "h w 2"]) -> Float32[np.ndarray, "h w *channels"]:
    """`picture` (s) as t sees it by the flow from t to s: bilinear, 0 outside of the picture."""
    import cv2

    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = x + flow[..., 0], y + flow[..., 1]
    return np.asarray(cv2.remap(picture.astype(np.float32), *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def visible(there: Float32[np.ndarray, "h w 2"], back: Float32[np.ndarray, "h w 2"]) -> Bool[np.ndarray, "h w"]:
    """M of equation 11: the pixels of t that s shows as well, by the flows from t to s (`there`) and from s to t (`back`).

    A pixel is out if it leaves the picture, if the way there and back misses its beginning,
    |w + w'|² > 0.01 (|w|² + |w'|²) + 0.5, or if it lies on a motion boundary, |∇u|² + |∇v|² > 0.01 |w|² + 0.002 (Ruder et al. 2016,
    equations 5 and 6, as Lai et al. 2018 use them for the warping error); w' is `back` at the place where w leads.
    """
    height, width = there.shape[:2]
    to_x = there[..., 0] + np.arange(width, dtype=np.float32)
    to_y = there[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    returned = warp(back, there)
    length = _squared(there)
    consistent = _squared(there + returned) <= CONSISTENCY_SLOPE * (length + _squared(returned)) + CONSISTENCY_FLOOR
    by_y, by_x = np.gradient(there, axis=(0, 1))
    smooth = _squared(by_x) + _squared(by_y) <= BOUNDARY_SLOPE * length + BOUNDARY_FLOOR
    return np.asarray(inside & consistent & smooth)


def _squared(vectors: Float32[np.ndarray, "h w 2"]) -> Float32[np.ndarray, "h w"]:
    return np.asarray(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)
