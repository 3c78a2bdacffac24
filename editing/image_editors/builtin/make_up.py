"""Make-up: lipstick, eyeshadow with liner, blush. It lies on the face's own places: contours of the landmarks and spots of the sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, lab_of, mean_in, mix, to_lab
from editing.image_editors.builtin.skin_atlas import laid_spot

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

MAKE_UP_COLOURS: dict[str, int] = {
    "red": 0xB21222, "dark red": 0x6E0A1A, "pink": 0xE25484, "rose": 0xC45C68, "coral": 0xE8624E,
    "orange": 0xE2682C, "brown": 0x703E2C, "nude": 0xBE8670, "purple": 0x742A82, "violet": 0x742A82,
    "plum": 0x5C1A42, "blue": 0x2C56C4, "light blue": 0x60A4E2, "turquoise": 0x1EA0A6, "green": 0x248448,
    "gold": 0xCEA03E, "silver": 0xB0B4BE, "grey": 0x707078, "black": 0x18141A, "white": 0xECE8E8,
}  # fmt: skip
UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 55, 65, 52, 53, 46),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 285, 295, 282, 283, 276),
)
"""Between the upper lid's edge and the brow's lower edge, right and left."""
UPPER_EDGES = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
CHEEK_CM, CHEEK_SIGMA_CM = (6.9, 0.9), (2.2, 1.4)


def lipstick(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, colour: str = "red") -> Float32[np.ndarray, "h w 3"]:
    """Lips in a colour, with their own light and shadow, and a little gloss."""
    import cv2

    lips = scene.regions.lips
    lab = to_lab(picture)
    goal, mean = lab_of(MAKE_UP_COLOURS[colour]), mean_in(lab, lips)
    off = lab[..., 0] - mean[0]
    painted = np.empty_like(lab)
    painted[..., 0] = goal[0] + 0.85 * off + 0.25 * (off - cv2.GaussianBlur(off, (0, 0), 0.25 * scene.px_per_cm)).clip(0.0, None)
    painted[..., 1:] = goal[1:] * (1.0 - (off / 60.0).clip(0.0, 0.6))[..., None]
    return from_lab(mix(lab, painted, (0.85 * lips).astype(np.float32)))


def eyeshadow(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, colour: str = "brown") -> Float32[np.ndarray, "h w 3"]:
    """Colour from the lid's edge fading towards the brow, a dark liner along the edge."""
    import cv2

    parts = scene.regions
    px = scene.px_per_cm
    lids = np.maximum(*(_filled(scene, scene.landmarks[list(lid)]) for lid in UPPER_LIDS))
    edges = np.maximum(*(_line(scene, scene.landmarks[list(edge)], 0.22 * px) for edge in UPPER_EDGES))
    from_edge = cv2.distanceTransform((edges < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / px
    shadow = cv2.GaussianBlur(lids, (0, 0), 0.22 * px) * np.exp(-((from_edge / 1.1) ** 2))
    shadow *= (1.0 - parts.eyes) * (1.0 - parts.brows) * (parts.face + parts.eye_rims).clip(0.0, 1.0)
    lab = to_lab(picture)
    goal, mean = lab_of(MAKE_UP_COLOURS[colour]), mean_in(lab, parts.skin)
    shaded = np.empty_like(lab)
    shaded[..., 0] = lab[..., 0] + 0.75 * (goal[0] - mean[0])
    shaded[..., 1:] = goal[1:] + 0.3 * (lab[..., 1:] - mean[1:])
    lab = mix(lab, shaded, (0.8 * shadow).astype(np.float32))
    liner = cv2.GaussianBlur(edges, (0, 0), 0.06 * px) * (1.0 - 0.7 * parts.eyes)
    dark = lab * np.array([0.0, 0.3, 0.3], np.float32) + np.array([12.0, 0.0, 0.0], np.float32)
    return from_lab(mix(lab, dark, (0.6 * liner).astype(np.float32)))


def blush(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, colour: str = "rose") -> Float32[np.ndarray, "h w 3"]:
    """Cheekbones in a colour."""
    cheeks = np.maximum(*(laid_spot(scene, (side * CHEEK_CM[0], CHEEK_CM[1]), CHEEK_SIGMA_CM) for side in (-1.0, 1.0)))
    lab = to_lab(picture)
    goal, mean = lab_of(MAKE_UP_COLOURS[colour]), mean_in(lab, scene.regions.skin)
    toned = np.empty_like(lab)
    toned[..., 0] = lab[..., 0] + 0.25 * (goal[0] - mean[0])
    toned[..., 1:] = lab[..., 1:] + 0.8 * (goal[1:] - mean[1:])
    # What is blushing already is not blushed again.
    wanted = np.abs(goal[1:] - mean[1:]).sum() + 1.0
    lacking = (np.abs(goal[1:] - lab[..., 1:]).sum(-1) / wanted).clip(0.0, 1.0)
    return from_lab(mix(lab, toned, (0.6 * cheeks * lacking * scene.regions.skin).astype(np.float32)))


def make_up(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """All three, for an evening out."""
    result = blush(picture, scene, colour="rose")
    result = eyeshadow(result, scene, colour="plum")
    return lipstick(result, scene, colour="red")


def goth_make_up(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Black eyes and lips."""
    return lipstick(eyeshadow(picture, scene, colour="black"), scene, colour="black")


def _filled(scene: Scene, points: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "h w"]:
    import cv2

    mask = np.zeros(scene.size, np.uint8)
    cv2.fillPoly(mask, [np.round((points - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask, dtype=np.float32) / 255.0


def _line(scene: Scene, points: Float32[np.ndarray, "n 2"], width_px: float) -> Float32[np.ndarray, "h w"]:
    import cv2

    mask = np.zeros(scene.size, np.uint8)
    corners = [np.round((points - 0.5) * 16).astype(np.int32)]
    cv2.polylines(mask, corners, False, 255, max(1, round(width_px)), cv2.LINE_AA, 4)
    return np.asarray(mask, dtype=np.float32) / 255.0
