"""Drawn on the head's sheet once, and laid on the skin of every frame: the wrinkles and hollows of age, veins, scars, spots.

A pattern is light: how much brighter or darker (natural logarithm of brightness) a pixel gets at full strength. u, v are centimetres of the
head's sheet (see `face_sheet`); everything drawn at u is drawn at -u too, a little differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

LEFT_CM, TOP_CM, WIDTH_CM, HEIGHT_CM = -14.0, -11.0, 28.0, 28.0
PX_PER_CM = 24
SHAPE = int(HEIGHT_CM * PX_PER_CM), int(WIDTH_CM * PX_PER_CM)
Path = tuple[tuple[float, float], ...]

FOREHEAD = (
    ((-4.6, -5.9), (-3.0, -6.25), (-1.2, -6.05), (0.0, -5.95), (1.4, -6.1), (3.1, -6.3), (4.7, -5.9)),
    ((-5.0, -6.7), (-3.2, -7.1), (-1.4, -6.95), (0.1, -6.8), (1.6, -7.0), (3.4, -7.1), (5.1, -6.7)),
    ((-4.0, -7.6), (-2.2, -7.95), (-0.3, -7.7), (1.6, -7.9), (3.9, -7.65)),
)
FROWN = (((-0.8, -5.7), (-0.65, -4.9), (-0.75, -4.1)),)
NOSE_ROOT = (((-0.9, -3.3), (0.0, -3.15), (0.9, -3.3)),)
CROWS_FEET = (
    ((-6.5, -3.1), (-7.4, -3.7), (-8.3, -4.5)),
    ((-6.7, -2.7), (-7.7, -2.9), (-8.8, -3.25)),
    ((-6.6, -2.3), (-7.6, -2.1), (-8.7, -1.9)),
    ((-6.4, -1.9), (-7.2, -1.4), (-8.0, -0.8)),
)
EYE_BAG: Path = ((-6.5, -1.6), (-5.6, -0.95), (-4.4, -0.75), (-3.2, -1.05), (-2.4, -1.65))
LOWER_LID: Path = ((-5.9, -1.9), (-4.9, -1.5), (-3.8, -1.45), (-2.8, -1.8))
NASOLABIAL: Path = ((-2.05, 0.75), (-2.55, 1.5), (-3.25, 2.3), (-3.85, 3.2), (-4.2, 4.1), (-4.15, 4.8))
MARIONETTE: Path = ((-3.35, 4.75), (-3.7, 5.5), (-3.75, 6.4), (-3.5, 7.2))
JOWL: Path = ((-3.9, 6.9), (-5.2, 7.3), (-7.0, 7.0), (-8.8, 6.2))
CHEEK_LINES = (((-5.2, 2.6), (-5.7, 3.9), (-5.6, 5.3)), ((-6.4, 2.4), (-7.0, 3.8), (-6.9, 5.2)), ((-7.9, 1.6), (-8.5, 3.0), (-8.5, 4.4)))
CHIN: Path = ((-1.6, 6.75), (0.0, 6.5), (1.6, 6.75))
UPPER_LIP = tuple(((u, 2.75), (0.96 * u, 3.3)) for u in (-2.1, -1.5, -0.9))
NECK = (((-5.0, 11.6), (0.0, 12.4), (5.0, 11.6)), ((-5.0, 13.4), (0.0, 14.1), (5.0, 13.4)))


@dataclass(frozen=True)
class AgePatterns:
    """Logarithms of light at full age."""

    creases: Float32[np.ndarray, "H W"]
    """fine lines"""
    hollows: Float32[np.ndarray, "H W"]
    """bags, folds and sunken places, half a centimetre and more wide"""


@lru_cache(maxsize=4)
def age_patterns(seed: int) -> AgePatterns:
    """The wrinkles; the seed moves them a little."""
    rng = np.random.default_rng(seed)
    fine, broad = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    for lines, width, depth in (
        (FOREHEAD, 0.13, 1.0), (_mirrored(FROWN), 0.12, 0.9), (NOSE_ROOT, 0.12, 0.5), (_mirrored(CROWS_FEET), 0.09, 0.8),
        (_mirrored((EYE_BAG,)), 0.11, 0.75), (_mirrored((LOWER_LID,)), 0.08, 0.5), (_mirrored((NASOLABIAL,)), 0.15, 1.25),
        (_mirrored((MARIONETTE,)), 0.13, 0.9), (_mirrored(CHEEK_LINES), 0.11, 0.55), ((CHIN,), 0.15, 0.6),
        (_mirrored(UPPER_LIP), 0.07, 0.45), (NECK, 0.16, 0.8),
    ):  # fmt: skip
        for line in lines:
            fine -= _stroke(line, width, depth, rng)
    for lines, width, depth in (
        (_mirrored((EYE_BAG,)), 0.42, 0.55), (_mirrored((NASOLABIAL,)), 0.45, 0.75), (_mirrored((MARIONETTE,)), 0.45, 0.55),
        (_mirrored((JOWL,)), 0.6, 0.4), (_mirrored((((-8.6, 1.4), (-8.2, 3.4), (-7.6, 4.6)),)), 1.1, 0.6),
        (_mirrored((((-9.6, -5.2), (-9.9, -3.6)),)), 0.9, 0.5), (_mirrored((((-3.0, -3.4), (-2.3, -2.6), (-2.4, -1.8)),)), 0.45, 0.5),
    ):  # fmt: skip
        for line in lines:
            broad -= _stroke(line, width, depth, rng)
    return AgePatterns(_light(fine, 0.055, 0.30), _light(broad, 0.12, 0.46))


VEIN_ROOTS = (
    ((-9.5, -5.5), 20.0), ((-8.5, -6.8), 60.0), ((-7.8, -1.2), 150.0), ((-4.4, -0.6), 95.0), ((-3.0, -0.9), 120.0),
    ((-10.8, 4.5), -25.0), ((-8.0, 6.8), -70.0), ((-3.0, -7.6), 75.0), ((-5.5, 12.5), -80.0), ((-2.0, 13.5), -95.0),
)  # fmt: skip
"""Where veins come into sight, and their direction in degrees, clockwise from the right."""
SCAR: Path = ((3.4, 1.2), (4.6, 2.2), (6.0, 2.6), (7.2, 3.6))
STITCHES = 6


@dataclass(frozen=True)
class DeadPatterns:
    """Shares 0…1."""

    veins: Float32[np.ndarray, "H W"]
    scar: Float32[np.ndarray, "H W"]
    """an open cut, and stitches across it"""


@lru_cache(maxsize=4)
def dead_patterns(seed: int) -> DeadPatterns:
    """What a zombie's skin shows."""
    import cv2

    rng = np.random.default_rng(seed + 9)
    veins = np.zeros(SHAPE, np.float32)
    for (u, v), degrees in VEIN_ROOTS:
        for side in (1.0, -1.0):
            turned = degrees if side > 0 else 180.0 - degrees
            _branch(veins, np.array([side * u, v]), turned + rng.normal(0, 12), 2.6 + rng.random(), 1.0, rng)
    points = _smooth_path(np.array(SCAR))
    cut = _stroke(SCAR, 0.11, 1.0, rng)
    stitches = np.zeros(SHAPE, np.float32)
    for k in np.linspace(4, 35, STITCHES).astype(int):
        along = points[k + 1] - points[k]
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * 0.42
        ends = _pixels(np.stack([points[k] - across, points[k] + across]))
        cv2.line(stitches, tuple(ends[0]), tuple(ends[1]), 1.0, 3, cv2.LINE_8, 4)
    scar = np.maximum(cut.clip(0.0, 1.0), cv2.GaussianBlur(stitches, (0, 0), 1.2))
    return DeadPatterns(cv2.GaussianBlur(veins, (0, 0), 1.5).clip(0.0, 1.0), scar.clip(0.0, 1.0))


def _branch(
    sheet: Float32[np.ndarray, "H W"], start: np.ndarray, degrees: float, long_cm: float, strength: float, rng: np.random.Generator
) -> None:
    """Draw a winding vein that divides, in place."""
    import cv2

    at, step_cm = start, 0.22
    for _ in range(int(long_cm / step_cm)):
        degrees += rng.normal(0.0, 16.0)
        to = at + step_cm * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        ends = _pixels(np.stack([at, to]))
        cv2.line(sheet, tuple(ends[0]), tuple(ends[1]), strength, 1 + round(3 * strength), cv2.LINE_8, 4)
        if strength > 0.4 and rng.random() < 0.22:
            _branch(sheet, to, degrees + rng.choice([-1.0, 1.0]) * rng.uniform(25, 55), 0.65 * long_cm, 0.68 * strength, rng)
        at = to


def _mirrored(lines: Iterable[Path]) -> list[Path]:
    both = list(lines)
    return both + [tuple((-u, v) for u, v in line) for line in both]


def _stroke(path: Sequence[tuple[float, float]], width_cm: float, depth: float, rng: np.random.Generator) -> Float32[np.ndarray, "H W"]:
    """A furrow of depth 0…`depth`: a Gaussian of `width_cm` across, fading towards its ends, uneven along."""
    import cv2

    points = _smooth_path(np.array(path) + rng.normal(0.0, 0.05, (len(path), 2)))
    at = _pixels(points)
    along = np.linspace(0.0, 1.0, len(points))
    strength = np.sin(np.pi * along.clip(0.02, 0.98)) ** 0.6 * (1.0 + 0.15 * np.sin(9.0 * along + rng.uniform(0, 6)))
    sheet = np.zeros(SHAPE, np.float32)
    for a, b, value in zip(at[:-1], at[1:], strength[:-1], strict=True):
        cv2.line(sheet, tuple(a), tuple(b), float(value), 1, cv2.LINE_8, 4)
    sigma = width_cm * PX_PER_CM
    # A line one pixel wide, blurred, is 1 / (sigma sqrt(2 pi)) high.
    return np.asarray(cv2.GaussianBlur(sheet, (0, 0), sigma) * (depth * sigma * np.sqrt(2.0 * np.pi)), dtype=np.float32)


def _smooth_path(points: np.ndarray) -> np.ndarray:
    from scipy.interpolate import PchipInterpolator

    t = np.arange(len(points))
    return np.asarray(PchipInterpolator(t, points)(np.linspace(0, len(points) - 1, 40)))


def _pixels(points: np.ndarray) -> np.ndarray:
    return np.round((points - (LEFT_CM, TOP_CM)) * PX_PER_CM * 16).astype(int)


def _light(height: Float32[np.ndarray, "H W"], slope_gain: float, depth_gain: float) -> Float32[np.ndarray, "H W"]:
    """Light from above and a little from the left on a height field (cm-like units): slopes that face it are bright, depths are dark."""
    import cv2

    du, dv = cv2.Sobel(height, cv2.CV_32F, 1, 0) * PX_PER_CM / 8.0, cv2.Sobel(height, cv2.CV_32F, 0, 1) * PX_PER_CM / 8.0
    return np.asarray(slope_gain * (dv + 0.35 * du) + depth_gain * np.minimum(height, 0.0), dtype=np.float32)


def laid_on(pattern: Float32[np.ndarray, "H W"], scene: Scene) -> Float32[np.ndarray, "h w"]:
    """A pattern of the sheet as it lies in a frame."""
    import cv2

    at = (scene.sheet.uv - np.array([LEFT_CM, TOP_CM], np.float32)) * PX_PER_CM
    shrink = PX_PER_CM / scene.px_per_cm
    smooth = cv2.GaussianBlur(pattern, (0, 0), 0.45 * shrink) if shrink > 1.2 else pattern
    return np.asarray(cv2.remap(smooth, at[..., 0] - 0.5, at[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def laid_spot(scene: Scene, middle_cm: tuple[float, float], sigma_cm: tuple[float, float]) -> Float32[np.ndarray, "h w"]:
    """A soft spot on the head's sheet."""
    away = (scene.sheet.uv - np.array(middle_cm, np.float32)) / np.array(sigma_cm, np.float32)
    return np.asarray(np.exp(-0.5 * (away * away).sum(-1)), dtype=np.float32)
