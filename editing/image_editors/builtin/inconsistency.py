"""How a real editor is inconsistent, made on purpose and to measure: every frame comes out a little differently.

Diffusion editors treat each frame anew. Here, at level 1 and full guidance, a frame differs from its neighbours by (standard deviations)
20 % of the effect's strength, 7° of hue, 7 % of brightness, other strokes and textures, a smooth warp of 0.2 cm of the face and a mouth
that is up to 20 % more or less open. Warp and mouth come with the change that is made: they grow with s_T/6 · steps/20 and with the share
of the way to the goal that a frame still has to go. That is an assumption, made after Instruct-NeuralTalker's report that large text
guidance and many steps destroy the lips' shape and small, growing ones do not; it was not measured on a real editor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, to_lab
from editing.landmarks import INNER_LIPS, OUTER_LIPS

if TYPE_CHECKING:
    from jaxtyping import Float32

STRENGTH, HUE_DEG, BRIGHTNESS, WARP_CM, MOUTH = 0.20, 7.0, 0.07, 0.20, 0.20
"""Standard deviations at level 1; that of the mouth's opening is cut off at one."""
TEXTURES = 4
"""Textures and stroke anchors are one of as many sets: making new ones for each frame would take longer than the edit."""
WARP_GRID = 5
MOUTH_REACH = 1.9
"""Of the mouth's width: what moves with it."""


@dataclass(frozen=True)
class Jitter:
    """What one frame differs by."""

    strength: float
    """factor"""
    texture: int
    """0…TEXTURES-1"""
    hue_deg: float
    brightness: float
    """factor"""
    warp_cm: Float32[np.ndarray, "grid grid 2"]
    """on a grid over the picture, centimetres of the face, at full drive"""
    mouth: float
    """the opening's relative change at full drive"""

    @staticmethod
    def of(seed: int, index: int, level: float) -> Jitter:
        """Of frame `index`."""
        rng = np.random.default_rng((seed, index, 7))
        z = rng.standard_normal(4)
        return Jitter(
            float(max(0.2, 1.0 + STRENGTH * level * z[0])),
            int(rng.integers(TEXTURES)),
            float(HUE_DEG * level * z[1]),
            float(np.exp(BRIGHTNESS * level * z[2])),
            (WARP_CM * level * rng.standard_normal((WARP_GRID, WARP_GRID, 2))).astype(np.float32),
            float(MOUTH * level * np.clip(z[3], -1.0, 1.0)),
        )

    def applied(
        self, picture: Float32[np.ndarray, "h w 3"], landmarks: Float32[np.ndarray, "478 2"], px_per_cm: float, drive: float
    ) -> Float32[np.ndarray, "h w 3"]:
        """Colour, then form, as far as `drive` says."""
        import cv2

        lab = to_lab(picture)
        cos, sin = float(np.cos(np.radians(self.hue_deg))), float(np.sin(np.radians(self.hue_deg)))
        a, b = lab[..., 1].copy(), lab[..., 2].copy()
        lab[..., 0] *= self.brightness
        lab[..., 1], lab[..., 2] = cos * a - sin * b, sin * a + cos * b
        toned = from_lab(lab)
        height, width = picture.shape[:2]
        field = cv2.resize(self.warp_cm, (width, height), interpolation=cv2.INTER_CUBIC) * (px_per_cm * drive)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        mouth = landmarks[list(OUTER_LIPS)]
        centre = landmarks[list(INNER_LIPS)].mean(0) - 0.5
        reach = 0.5 * MOUTH_REACH * float(np.ptp(mouth[:, 0]))
        share = (1.0 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / reach**2).clip(0.0, 1.0)
        from_y = y + field[..., 1] - (y - centre[1]) * (1.0 - 1.0 / (1.0 + self.mouth * drive)) * share
        return np.asarray(
            cv2.remap(toned, x + field[..., 0], from_y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
            dtype=np.float32,
        ).clip(0.0, 1.0)
