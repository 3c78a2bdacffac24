"""Along the picture's edges: their direction, smoothing along them, and the lines that a pen would draw.

Directions come from the smoothed structure tensor (Kyprianidis and Döllner, "Image Abstraction by Structure Adaptive Filtering", 2008);
lines from a difference of Gaussians with a soft threshold, smoothed along the edges (Winnemöller, Kyprianidis and Olsen, "XDoG", 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

DOG_RATIO = 1.6
"""Of the wider Gaussian to the narrower: near the Laplacian (Marr and Hildreth 1980)."""


@dataclass(frozen=True)
class EdgeFlow:
    """Unit tangents of edges and how clear they are."""

    tangent: Float32[np.ndarray, "h w 2"]
    """x, y; its sign has no meaning"""
    coherence: Float32[np.ndarray, "h w"]
    """0 no direction … 1 a straight edge"""

    @staticmethod
    def of(
        picture: Float32[np.ndarray, "h w 3"],
        sigma_px: float,
        where_flat: Float32[np.ndarray, "h w 2"] | None = None,
        strength: float = 0.0,
    ) -> EdgeFlow:
        """Gradients of all channels, averaged over `sigma_px`.

        Where the picture has no clear edges the tangents turn into those of `where_flat`; `strength` is the gradient (brightness a pixel)
        that counts as much as it.
        """
        import cv2

        gx = cv2.Scharr(picture, cv2.CV_32F, 1, 0) / 32.0
        gy = cv2.Scharr(picture, cv2.CV_32F, 0, 1) / 32.0
        tensor = np.stack([(gx * gx).sum(-1), (gx * gy).sum(-1), (gy * gy).sum(-1)], -1)
        xx, xy, yy = np.moveaxis(cv2.GaussianBlur(tensor, (0, 0), sigma_px), -1, 0)
        if where_flat is not None:
            # The gradient that an edge along the given tangent would have.
            x, y = -where_flat[..., 1] * strength, where_flat[..., 0] * strength
            xx, xy, yy = xx + x * x, xy + x * y, yy + y * y
        split = np.sqrt((xx - yy) ** 2 + 4.0 * xy * xy)
        angle = 0.5 * np.arctan2(2.0 * xy, xx - yy) + 0.5 * np.pi
        return EdgeFlow(np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32), (split / (xx + yy + 1e-5)).astype(np.float32))


def smooth_along(values: Float32[np.ndarray, "h w *c"], flow: EdgeFlow, sigma_px: float, steps: int) -> Float32[np.ndarray, "h w *c"]:
    """Line integral convolution: a Gaussian along the flow, `steps` samples to either side, two sigmas long."""
    import cv2

    height, width = values.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    total = values.copy()
    weights = 1.0
    stride = 2.0 * sigma_px / steps
    for sign in (1.0, -1.0):
        px, py = x, y
        heading: Any = sign * flow.tangent
        for step in range(1, steps + 1):
            px, py = px + stride * heading[..., 0], py + stride * heading[..., 1]
            weight = float(np.exp(-0.5 * (step * stride / sigma_px) ** 2))
            total = total + weight * cv2.remap(values, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            weights += weight
            if step < steps:
                following = cv2.remap(flow.tangent, px, py, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
                along = following[..., 0] * heading[..., 0] + following[..., 1] * heading[..., 1]
                heading = following * np.where(along < 0.0, -1.0, 1.0).astype(np.float32)[..., None]
    return np.asarray(total / weights)


def ink_lines(
    brightness: Float32[np.ndarray, "h w"], flow: EdgeFlow, sigma_px: float, sharpness: float, threshold: float
) -> Float32[np.ndarray, "h w"]:
    """0 paper … 1 ink where it is darker than its surroundings by `threshold` (of 1) or more; `sharpness` is how fast ink comes."""
    import cv2

    narrow = cv2.GaussianBlur(brightness, (0, 0), sigma_px)
    difference = cv2.GaussianBlur(brightness, (0, 0), DOG_RATIO * sigma_px) - narrow
    along = smooth_along(np.ascontiguousarray(difference), flow, 2.5 * sigma_px, 4)
    return np.asarray(np.tanh(np.maximum(along - threshold, 0.0) * sharpness), dtype=np.float32)
