"""Black and white, and an old photograph: the whole picture as film saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import smoothstep, through_ramp

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

PANCHROMATIC, ORTHOCHROMATIC = (0.40, 0.45, 0.15), (0.10, 0.55, 0.35)
"""What film makes of red, green and blue; that of old photographs hardly saw red."""
SEPIA = ((0.0, 0x2E1E16), (0.35, 0x70523A), (0.7, 0xC4A67C), (1.0, 0xF3E4C4))


def black_and_white(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """With a film's contrast: deep shadows, light that does not burn out."""
    grey = picture @ np.array(PANCHROMATIC, np.float32)
    curved = 0.35 * grey + 0.65 * smoothstep(-0.02, 1.02, grey)
    return np.repeat(curved[..., None], 3, -1)


def old_photograph(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Sepia, faded blacks, a soft lens, darker corners, grain, dust and a few scratches, which lie on the print and stand still."""
    import cv2

    height = scene.size[0]
    grey = np.ascontiguousarray(picture @ np.array(ORTHOCHROMATIC, np.float32))
    soft = cv2.GaussianBlur(grey, (0, 0), 0.004 * height)
    bloom = cv2.GaussianBlur(np.maximum(grey - 0.6, 0.0), (0, 0), 0.02 * height)
    tone = 0.05 + 0.87 * smoothstep(-0.06, 1.0, 0.5 * grey + 0.5 * soft) + 0.25 * bloom
    corner = np.hypot(scene.still[..., 0], scene.still[..., 1]) / np.hypot(*(scene.still[0, 0]))
    tone = tone * (1.0 - 0.45 * smoothstep(0.55, 1.05, corner))
    tone = tone + 0.022 * scene.still_noise(21, scene.pen_cm) + 0.025 * scene.still_noise(22, 5.0, 3)
    dust = smoothstep(3.0, 3.6, scene.still_noise(23, 2.0 * scene.pen_cm))
    tone = tone + 0.35 * np.maximum(dust, _scratches(scene)) * scene.regions.background
    return through_ramp(tone.clip(0.0, 1.0), SEPIA)


def _scratches(scene: Scene) -> Float32[np.ndarray, "h w"]:
    """Nearly upright hairlines."""
    import cv2

    height, width = scene.size
    rng = np.random.default_rng(scene.seed)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(4):
        x, y, long, lean = rng.random(4)
        start = np.array([x * width, (y - 0.2) * height])
        end = start + np.array([(lean - 0.5) * 0.06 * height, (0.2 + 0.5 * long) * height])
        ends = np.round(np.stack([start, end]) * 16).astype(np.int32)
        cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 150, 1, cv2.LINE_AA, 4)
    return np.asarray(mask, dtype=np.float32) / 255.0
