"""Watercolour: the whole picture as washes on white paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import luma, saturated, smoothstep
from editing.image_editors.builtin.flow import EdgeFlow, ink_lines, smooth_along

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

PAPER_TINT = np.array([1.0, 0.995, 0.975], np.float32)
INK_TINT = np.array([0.8, 0.9, 1.0], np.float32)
"""How much of red, green and blue a line takes away."""


def watercolour(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Colours run together, edges dry darker, pigment settles in the paper's grain, the paper stays white towards the rim."""
    import cv2

    px = scene.px_per_cm
    flow = EdgeFlow.of(picture, 0.4 * px)
    wash = picture
    for _ in range(2):
        wash = smooth_along(cv2.bilateralFilter(wash, 0, 0.12, 0.5 * px), flow, 0.5 * px, 4)
    # Pigment absorbs light: washes are worked on as what they take away.
    density = 1.0 - wash
    density = density * (0.95 + 0.16 * scene.noise(81, 3.0, 3))[..., None]
    brightness = luma(wash)
    rim = smoothstep(0.0, 0.08, cv2.GaussianBlur(brightness, (0, 0), 0.35 * px) - cv2.GaussianBlur(brightness, (0, 0), 0.12 * px))
    density = density * (0.78 + 0.55 * rim)[..., None]
    grain = scene.still_noise(82, 1.2 * scene.pen_cm)[..., None]
    density = density * (1.0 + 0.06 * grain)
    away = np.hypot(scene.still[..., 0] / 15.0, (scene.still[..., 1] + 1.0) / 15.5) + 0.07 * scene.still_noise(83, 2.5, 3)
    paper_left = smoothstep(0.78, 1.12, away) * (1.0 - 0.55 * scene.regions.person)
    density = density * (1.0 - 0.85 * paper_left)[..., None]
    vivid = saturated((1.0 - density.clip(0.0, 1.0)).astype(np.float32), 1.55) ** 0.9 * PAPER_TINT + 0.008 * grain
    lines = ink_lines(luma(picture) - 0.06 * scene.regions.lips, flow, 0.10 * px, 14.0, 0.02)
    drawn = vivid * (1.0 - 0.35 * lines[..., None] * INK_TINT)
    return drawn.clip(0.0, 1.0).astype(np.float32)
