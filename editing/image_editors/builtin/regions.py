"""Soft masks of what a frame shows, 0…1, from its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.labels import LABELS, polygon
from editing.image_editors.builtin.colour import luma
from editing.landmarks import LEFT_EYE, RIGHT_EYE

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

SOFT_CM = 0.09
"""Blur of the labels' edges."""
MATTE_CM = 0.45
"""How far hair's outline may follow the picture's own edges."""
MATTE_NOISE = 1.5e-3
"""Variance of brightness below which the outline does not follow them."""
EYE_RIM = 1.35
"""What is round an eye and not skin (lids' edges, lashes) reaches this much beyond its contour."""


@dataclass(frozen=True)
class Regions:
    """Edges add up to 1 between neighbours, near enough to blend by."""

    person: Float32[np.ndarray, "h w"]
    hair: Float32[np.ndarray, "h w"]
    face: Float32[np.ndarray, "h w"]
    """everything inside the face's outline, ears too: skin, eyes, brows, lips, mouth"""
    skin: Float32[np.ndarray, "h w"]
    """face, ears and neck without eyes, brows, lips and mouth"""
    neck: Float32[np.ndarray, "h w"]
    cloth: Float32[np.ndarray, "h w"]
    eyes: Float32[np.ndarray, "h w"]
    eye_rims: Float32[np.ndarray, "h w"]
    """eyes, and lids' edges round them"""
    brows: Float32[np.ndarray, "h w"]
    lips: Float32[np.ndarray, "h w"]
    mouth: Float32[np.ndarray, "h w"]
    """its inside, teeth too"""
    head: Float32[np.ndarray, "h w"]
    """hair, face and neck"""
    background: Float32[np.ndarray, "h w"]


def find_regions(
    picture: Float32[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    landmarks: Float32[np.ndarray, "478 2"],
    person: Float32[np.ndarray, "h w"] | None,
    px_per_cm: float,
) -> Regions:
    """Of one frame; `person` replaces the labels' outline where there is one."""
    import cv2

    sigma = SOFT_CM * px_per_cm

    def soft(*names: str) -> Float32[np.ndarray, "h w"]:
        mask = np.isin(labels, [LABELS[name] for name in names]).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma))

    brightness = luma(picture)
    radius = max(1, round(MATTE_CM * px_per_cm))
    labelled = soft(*(name for name in LABELS if name != "background"))
    outline = guided(brightness, labelled, radius).clip(0.0, 1.0)
    if person is None:
        person = outline
    # At the outline a part is what it is of the person there, times how much of the person there is.
    hair = (guided(brightness, soft("hair"), radius) / np.maximum(outline, 0.05)).clip(0.0, 1.0) * person
    whole = person / np.maximum(labelled, 0.05)
    eyes, brows, lips, mouth = soft("eye"), soft("brow"), soft("lips"), soft("mouth", "teeth")
    rims = np.maximum(eyes, _eye_rims(labels.shape, landmarks, sigma))
    cloth, neck = (soft("cloth") * whole).clip(0.0, 1.0), (soft("neck") * whole).clip(0.0, 1.0)
    face = (soft("face", "eye", "lips", "teeth", "mouth", "brow") * whole).clip(0.0, 1.0) * (1.0 - hair)
    skin = ((face + neck).clip(0.0, 1.0) * (1.0 - rims) * (1.0 - brows) * (1.0 - lips) * (1.0 - mouth)).astype(np.float32)
    head = (hair + face + neck).clip(0.0, 1.0)
    return Regions(person, hair, face, skin, neck, cloth, eyes, rims, brows, lips, mouth, head, 1.0 - person)


def _eye_rims(size: tuple[int, ...], landmarks: Float32[np.ndarray, "478 2"], sigma: float) -> Float32[np.ndarray, "h w"]:
    import cv2

    mask = np.zeros(size, np.float32)
    for eye in (LEFT_EYE, RIGHT_EYE):
        points = landmarks[list(eye)]
        centre = points.mean(0)
        mask[polygon((size[0], size[1]), centre + EYE_RIM * (points - centre))] = 1.0
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma))


def guided(
    guide: Float32[np.ndarray, "h w"], mask: Float32[np.ndarray, "h w"], radius: int, noise: float = MATTE_NOISE
) -> Float32[np.ndarray, "h w"]:
    """The mask with its edges on the guide's edges (guided filter: He, Sun, Tang 2010, equations 5, 6 and 8)."""
    import cv2

    size = (2 * radius + 1, 2 * radius + 1)

    def mean(values: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return np.asarray(cv2.blur(values, size, borderType=cv2.BORDER_REFLECT))

    mean_guide, mean_mask = mean(guide), mean(mask)
    variance = mean(guide * guide) - mean_guide**2
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (variance + noise)
    return mean(slope) * guide + mean(mean_mask - slope * mean_guide)
