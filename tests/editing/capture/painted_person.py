"""A person painted flat before a patterned wall, with true labels and landmarks, and a detector that finds the paint.

Everything about it is known, and it needs no model: hair, face, neck and clothes in their own colours, a mouth that opens, a head that
moves sideways and up and down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from editing.capture.labels import LABELS, paint_face
from editing.landmarks import CHIN, FACE_OVAL, FOREHEAD, INNER_LIPS, Face
from tests.editing.capture.face_shape import face_shape, project

SKIN, NECK, HAIR, CLOTH, MOUTH = (226, 176, 148), (190, 132, 106), (70, 46, 34), (40, 70, 140), (130, 10, 80)
FOCAL_SHARE, DISTANCE_CM = 1000 / 512, 72.0
LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
WIDEST_CM = 2.5
FACING = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Painted:
    """One picture and the truth about it."""

    picture: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray
    """[478, 3]"""
    translation: np.ndarray
    """of the head in cm"""


@lru_cache(maxsize=4)
def wall(size_px: int) -> np.ndarray:
    """A patterned background."""
    y, x = np.mgrid[:size_px, :size_px] / size_px
    pattern = np.stack([150 + 50 * np.sin(20 * x), 160 + 40 * np.cos(14 * y), 120 + 40 * np.sin(12 * (x + y))], -1)
    return pattern.astype(np.uint8)


def paint(seconds: float, opening: float, size_px: int, beside_cm: float = 0.0, behind: np.ndarray | None = None) -> Painted:
    """The person at a time of its movement; `opening` 0…1; `behind` is what it is painted over (default: the wall)."""
    translation = np.array([2.5 * np.sin(1.7 * seconds) + beside_cm, 1.0 + 1.2 * np.sin(1.1 * seconds + 1), DISTANCE_CM])
    shape = face_shape().copy()
    shape[list(LOWER_LIP), 1] -= WIDEST_CM * opening
    landmarks = project(shape, FACING, translation, FOCAL_SHARE * size_px, size_px)
    picture = (wall(size_px) if behind is None else behind).copy()
    labels = np.zeros((size_px, size_px), np.uint8)
    oval = landmarks[list(FACE_OVAL), :2]
    left, right = oval[:, 0].min(), oval[:, 0].max()
    wide, tall = right - left, oval[:, 1].max() - oval[:, 1].min()
    chin, middle = landmarks[CHIN, :2], oval.mean(0)

    def fill(points: np.ndarray, colour: tuple[int, int, int], label: str) -> None:
        mask = np.zeros((size_px, size_px), np.uint8)
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
        picture[mask > 0] = colour
        labels[mask > 0] = LABELS[label]

    angle = np.linspace(0, 2 * np.pi, 60)
    crown = middle + np.stack([0.62 * wide * np.cos(angle), -0.06 * tall + 0.72 * tall * np.sin(angle)], 1)
    crown[:, 1] = np.minimum(crown[:, 1], chin[1] - 0.2 * tall)
    fill(crown, HAIR, "hair")
    shoulders = chin + np.array([(-0.3, 0.28), (0.3, 0.28), (1.25, 0.6), (1.4, 4.0), (-1.4, 4.0), (-1.25, 0.6)]) * (wide, tall)
    fill(shoulders, CLOTH, "cloth")
    fill(chin + np.array([(-0.27, -0.2), (0.27, -0.2), (0.3, 0.36), (-0.3, 0.36)]) * (wide, tall), NECK, "neck")
    fill(oval, SKIN, "face")
    inner = landmarks[list(INNER_LIPS), :2]
    if inner[:, 1].max() - inner[:, 1].min() > 1:
        cv2.fillPoly(picture, [np.round(inner).astype(np.int32)], MOUTH)
    paint_face(labels, picture, landmarks[:, :2])
    assert landmarks[FOREHEAD, 1] < chin[1]
    return Painted(picture, labels, landmarks.astype(np.float32), translation)


class PaintDetector:
    """Stands in for the landmark model: finds patches of the face's paint."""

    def __init__(self, model: object = None, max_faces: int = 1) -> None:
        self._max_faces = max_faces

    def faces(self, picture: np.ndarray) -> list[Face]:
        size_px = picture.shape[0]
        skin = (np.abs(picture.astype(int) - SKIN).max(-1) < 26).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(skin)
        found = []
        for k in range(1, count):
            x, y, width, height, area = stats[k]
            if area < 0.004 * skin.size or height < 0.6 * width:
                continue
            found.append(self._fitted(picture, x + width / 2, y + height / 2, height, size_px))
        return found[: self._max_faces]

    @staticmethod
    def _fitted(picture: np.ndarray, x: float, y: float, height: float, size_px: int) -> Face:
        shape = face_shape().copy()
        oval = shape[list(FACE_OVAL)]
        focal = FOCAL_SHARE * size_px
        depth = focal * np.ptp(oval[:, 1]) / height
        centre = (oval.max(0) + oval.min(0)) / 2
        # Pictures need not be square: the camera looks at their middle.
        shift = np.array([x - picture.shape[1] / 2, y - picture.shape[0] / 2]) * depth / focal
        translation = np.array([shift[0] - centre[0], shift[1] + centre[1], depth])
        landmarks = project(shape, FACING, translation, focal, size_px)
        landmarks[:, 0] += (picture.shape[1] - size_px) / 2
        lips = landmarks[list(INNER_LIPS), :2]
        low, high = np.maximum(lips.min(0).astype(int) - 2, 0), (lips.max(0) + 0.25 * height).astype(int)
        dark = (np.abs(picture[low[1] : high[1], low[0] : high[0]].astype(int) - MOUTH).max(-1) < 45).any(1).sum()
        landmarks[list(LOWER_LIP), 1] += max(0.0, float(dark) - np.ptp(lips[:, 1]))
        pose = np.eye(4)
        pose[:3, 3] = translation * (1, -1, -1)
        assumed = size_px / 2 / np.tan(np.radians(31.5))
        pose[:3, 3] *= (1.0, 1.0, assumed / focal)
        return Face(landmarks[:, :2].astype(np.float32), landmarks[:, 2].astype(np.float32), {}, pose.astype(np.float32))

    def detect_face(self, picture: np.ndarray) -> Face | None:
        faces = self.faces(picture)
        return faces[0] if faces else None

    def close(self) -> None:
        return None
