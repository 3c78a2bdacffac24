"""One frame with everything that effects ask about it, worked out when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.face_sheet import PICTURE_HEIGHT_CM, HeadView, canonical_face, map_sheet, still_sheet
from editing.image_editors.builtin.regions import find_regions
from editing.image_editors.builtin.texture import noise_tile, sample
from editing.landmarks import CHIN

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

    from editing.image_editors.builtin.face_sheet import SheetMap
    from editing.image_editors.builtin.regions import Regions

FINEST_MARK_PX = 2.6
BODY_CM = 5.0
"""Over this distance below the chin, the neck goes from moving with the head to standing still, as clothes do."""


@dataclass(frozen=True)
class Scene:
    """Where things are in a frame. The picture in it is the frame as it came; effects are handed the picture as it has become."""

    frame: Float32[np.ndarray, "h w 3"]
    """0…1"""
    landmarks: Float32[np.ndarray, "478 2"]
    """pixels"""
    labels: UInt8[np.ndarray, "h w"]
    person: Float32[np.ndarray, "h w"] | None
    """0…1; None: by the labels"""
    seed: int
    """of textures and strokes"""
    fineness: float = 1.0
    """1 full detail; below, strokes and lines are coarser"""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.frame.shape[0], self.frame.shape[1]

    @cached_property
    def view(self) -> HeadView:
        """How the head lies."""
        return HeadView.of(self.landmarks)

    @property
    def px_per_cm(self) -> float:
        """A centimetre of the face."""
        return self.view.px_per_cm

    @property
    def pen_cm(self) -> float:
        """Width of the finest mark: two to three pixels. The same for all frames of a size, so that textures keep their scale."""
        return FINEST_MARK_PX * PICTURE_HEIGHT_CM / self.size[0] / self.fineness

    @cached_property
    def sheet(self) -> SheetMap:
        """The head's sheet in every pixel."""
        return map_sheet(self.landmarks, self.view, self.size)

    @cached_property
    def still(self) -> Float32[np.ndarray, "h w 2"]:
        """The sheet of what stands still."""
        return still_sheet(self.size)

    @cached_property
    def regions(self) -> Regions:
        """Soft masks."""
        return find_regions(self.frame, self.labels, self.landmarks, self.person, self.px_per_cm)

    @cached_property
    def lips_and_eyes(self) -> Float32[np.ndarray, "h w"]:
        """Lips, mouth and eyes with a soft rim: what strokes and hatching must leave readable."""
        import cv2

        parts = self.regions
        grown = cv2.dilate(np.maximum.reduce([parts.lips, parts.mouth, parts.eyes]), np.ones((3, 3), np.uint8))
        return np.asarray(cv2.GaussianBlur(grown, (0, 0), 0.12 * self.px_per_cm), dtype=np.float32)

    @cached_property
    def moves_with_head(self) -> Float32[np.ndarray, "h w"]:
        """1 on the head, 0 on the background and on the body."""
        below_chin = self.sheet.uv[..., 1] - float(canonical_face().sheet[CHIN, 1])
        falls = (1.0 - (below_chin - 1.0) / BODY_CM).clip(0.0, 1.0)
        return np.asarray(self.regions.head * falls, dtype=np.float32)

    @cached_property
    def anchored(self) -> Float32[np.ndarray, "h w 2"]:
        """Sheet coordinates: the head's where it moves with the head, the still sheet's elsewhere."""
        moving = self.moves_with_head[..., None]
        return np.asarray(self.sheet.uv * moving + self.still * (1.0 - moving), dtype=np.float32)

    def noise(self, salt: int, wave_cm: float | tuple[float, float], octaves: int = 1, turn_deg: float = 0.0) -> Float32[np.ndarray, "h w"]:
        """Noise of mean 0 and deviation 1 that moves with the head on the head and stands still elsewhere."""
        tile = noise_tile(self.seed * 1000 + salt, octaves)
        moving = self.moves_with_head
        on_head = sample(tile, self.sheet.uv, wave_cm, turn_deg)
        return np.asarray(on_head * moving + sample(tile, self.still, wave_cm, turn_deg) * (1.0 - moving), dtype=np.float32)

    def still_noise(self, salt: int, wave_cm: float | tuple[float, float], octaves: int = 1) -> Float32[np.ndarray, "h w"]:
        """Noise that stands still everywhere: paper, canvas, film."""
        return sample(noise_tile(self.seed * 1000 + salt, octaves), self.still, wave_cm)
