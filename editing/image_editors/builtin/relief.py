"""A person as a sculptor's material: one colour, lit form.

What is painted on the person (the colours of skin, lips, brows, irises, hair, clothes) is divided out of the brightness; what remains is
taken for form and shown as the relief of one material. The large form is that of the canonical face, and of a cushion as wide as hair and
body elsewhere; fine form (folds, strands, wrinkles) are slopes in the remaining brightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import luma

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

CUSHION_CM = 7.0
"""Hair and body rise within this distance from their outline."""
DETAIL_CM, DETAIL_SLOPES = (0.10, 0.30), (0.115, 0.20)
"""Sizes of the folds that are taken from brightness, and how steep they are made: slope by change of its logarithm a centimetre."""
HIGHEST_SHADE = 1.9


@dataclass(frozen=True)
class Relief:
    """What light needs to know."""

    normals: Float32[np.ndarray, "h w 3"]
    """view axes: x right, y up, z to the viewer"""
    shade: Float32[np.ndarray, "h w"]
    """brightness with one albedo: about 1 where the material is lit as usual"""
    hollow: Float32[np.ndarray, "h w"]
    """0…1: folds, where dirt and patina gather"""


def find_relief(picture: Float32[np.ndarray, "h w 3"], scene: Scene, blank_eyes: float) -> Relief:
    """Of the person; `blank_eyes` is how far irises and pupils are flattened, 0…1."""
    import cv2

    px = scene.px_per_cm
    shade = _one_albedo(picture, scene, blank_eyes)
    normals = _form(scene)
    slope_x, slope_y = np.zeros_like(shade), np.zeros_like(shade)
    log = np.log(shade.clip(0.08, None))
    for size_cm, gain in zip(DETAIL_CM, DETAIL_SLOPES, strict=True):
        smooth = cv2.GaussianBlur(log, (0, 0), size_cm * px)
        slope_x += gain * px * cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32.0
        slope_y += gain * px * cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32.0
    bumped = normals + np.stack([-slope_x, slope_y, np.zeros_like(shade)], -1)
    bumped /= np.linalg.norm(bumped, axis=2, keepdims=True)
    around = cv2.GaussianBlur(log, (0, 0), 0.6 * px)
    hollow = np.tanh(2.2 * np.maximum(around - cv2.GaussianBlur(log, (0, 0), 0.12 * px), 0.0))
    return Relief(bumped.astype(np.float32), shade, hollow.astype(np.float32))


def _one_albedo(picture: Float32[np.ndarray, "h w 3"], scene: Scene, blank_eyes: float) -> Float32[np.ndarray, "h w"]:
    import cv2

    parts = scene.regions
    brightness = luma(picture).clip(0.02, None)

    def usual(mask: Float32[np.ndarray, "h w"]) -> float:
        chosen = brightness[mask > 0.5]
        return float(np.median(chosen)) if chosen.size > 8 else skin

    skin = float(np.median(brightness[parts.skin > 0.5])) if (parts.skin > 0.5).sum() > 8 else 0.6
    albedo = np.full_like(brightness, skin)
    for mask, lightness in ((parts.hair, 1.05), (parts.cloth, 1.0), (parts.lips, 1.12), (parts.brows, 1.25)):
        albedo += (usual(mask) * lightness - albedo) * mask
    # Clothes of two colours (a collar, a shirt) have one albedo each: their own surroundings'.
    wide = cv2.GaussianBlur(brightness * parts.cloth, (0, 0), 2.0 * scene.px_per_cm)
    wide /= cv2.GaussianBlur(parts.cloth, (0, 0), 2.0 * scene.px_per_cm) + 1e-3
    albedo += (wide.clip(0.02, None) - albedo) * 0.8 * parts.cloth
    shade = brightness / albedo
    # An eyeball is white with painted rings: flattened to a shaded ball.
    ball = cv2.GaussianBlur(shade, (0, 0), 0.5 * scene.px_per_cm)
    shade = shade + (0.55 * ball.clip(0.75, 1.1) + 0.4 - shade) * blank_eyes * parts.eyes
    return np.asarray(np.where(shade > 1.0, 1.0 + np.tanh((shade - 1.0) / 0.9) * (HIGHEST_SHADE - 1.0), shade), dtype=np.float32)


def _form(scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Normals of the large form, unit length."""
    import cv2

    px = scene.px_per_cm
    parts = scene.regions
    cushion = _cushion(parts.head, px, CUSHION_CM) + 0.35 * _cushion(parts.cloth, px, CUSHION_CM)
    face = cv2.GaussianBlur(scene.sheet.on_face.astype(np.float32), (0, 0), 0.7 * px)
    face = (face * 2.0 - 1.0).clip(0.0, 1.0)[..., None]
    normals = cushion + (cv2.GaussianBlur(scene.sheet.normals, (0, 0), 0.15 * px) - cushion) * face
    return np.asarray(normals / np.linalg.norm(normals, axis=2, keepdims=True), dtype=np.float32)


def _cushion(mask: Float32[np.ndarray, "h w"], px_per_cm: float, wide_cm: float) -> Float32[np.ndarray, "h w 3"]:
    import cv2

    solid = np.pad((mask > 0.5).astype(np.uint8), 1, mode="edge")
    inside = cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1]
    t = (inside / (wide_cm * px_per_cm)).clip(0.0, 1.0)
    height = wide_cm * px_per_cm * np.sqrt((2.0 * t - t * t).clip(0.0, None))
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.7 * px_per_cm)
    dx, dy = cv2.Sobel(height, cv2.CV_32F, 1, 0) / 8.0, cv2.Sobel(height, cv2.CV_32F, 0, 1) / 8.0
    normals = np.stack([-dx, dy, np.ones_like(dx)], -1)
    return np.asarray(normals / np.linalg.norm(normals, axis=2, keepdims=True), dtype=np.float32)
