"""Older and younger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, mean_in, mix, smoothstep, to_lab
from editing.image_editors.builtin.skin_atlas import age_patterns, laid_on, laid_spot
from editing.landmarks import LEFT_EYE, RIGHT_EYE

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

EYES_GROW = 0.08
"""Children's eyes are large for their faces."""
EYE_REACH_CM = 2.6
FOLD_TINT = np.array([0.82, 1.0, 1.12], np.float32)
GREY_HAIR_LAB = (70.0, 0.0, 2.0)


def older(picture: Float32[np.ndarray, "h w 3"], scene: Scene, *, depth: float = 1.0) -> Float32[np.ndarray, "h w 3"]:
    """Wrinkles, bags and hollows, blotchy paler skin, grey hair and brows, pale lips, dull eyes; `depth` is that of the folds."""
    patterns = age_patterns(scene.seed)
    light = (laid_on(patterns.hollows, scene) + laid_on(patterns.creases, scene)) * scene.regions.skin * depth
    # Light that gets into a fold has been scattered by skin: it is redder than the light on it.
    wrinkled = picture * np.exp(light[..., None] * FOLD_TINT)
    return from_lab(_old_colours(to_lab(wrinkled.clip(0.0, 1.0)), scene))


def _old_colours(lab: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    parts = scene.regions
    # Hair: the whole of it towards grey, strand by strand, with its lights and shadows.
    hair_mean = mean_in(lab, parts.hair)
    strands = 0.95 + 0.05 * scene.noise(111, (scene.pen_cm, 4.0 * scene.pen_cm), 2)
    brightest = max(float(GREY_HAIR_LAB[0]), float(hair_mean[0]))
    goal = np.empty_like(lab)
    goal[..., 0] = (brightest + (lab[..., 0] - hair_mean[0]) * 0.8).clip(8.0, 96.0)
    goal[..., 1], goal[..., 2] = GREY_HAIR_LAB[1], GREY_HAIR_LAB[2]
    lab = mix(lab, goal, (parts.hair * strands).clip(0.0, 1.0).astype(np.float32))
    brows = goal.copy()
    brows[..., 0] = lab[..., 0] + 24.0 * (60.0 - lab[..., 0]).clip(0.0, 40.0) / 40.0
    lab = mix(lab, brows, (0.75 * parts.brows).astype(np.float32))
    # Skin: sallow and blotchy, with a few brown spots.
    skin_mean = mean_in(lab, parts.skin)
    chroma = lab[..., 1:] - skin_mean[1:]
    blotches = scene.noise(112, 1.1, 3)
    spots = smoothstep(1.7, 2.9, scene.noise(113, 1.7) + 0.25 * blotches) * parts.skin
    old = lab.copy()
    old[..., 1] = np.minimum(skin_mean[1], 9.0) + chroma[..., 0] * 1.1 + 1.8 * blotches
    old[..., 2] = np.minimum(skin_mean[2], 17.0) + chroma[..., 1] * 0.9 + 0.6 * blotches
    old[..., 0] = lab[..., 0] + 0.9 * scene.noise(114, 0.5, 2) - 1.5
    lab = mix(lab, old, (0.8 * parts.skin).astype(np.float32))
    brown = np.array([max(skin_mean[0] - 17.0, 20.0), 11.0, 20.0], np.float32)
    lab = mix(lab, np.broadcast_to(brown, lab.shape), (0.45 * spots).astype(np.float32))
    lips = lab.copy()
    lips[..., 1] = skin_mean[1] + (lab[..., 1] - skin_mean[1]) * 0.55
    lips[..., 2] = lab[..., 2] - 2.0
    lab = mix(lab, lips, (parts.lips).astype(np.float32))
    eyes = lab.copy()
    eyes[..., 0] = 45.0 + (lab[..., 0] - 45.0) * 0.82
    eyes[..., 1:] = lab[..., 1:] * 0.7 + np.array([0.5, 3.0], np.float32)
    return mix(lab, eyes, (0.8 * parts.eyes).astype(np.float32))


def younger(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """Smooth even skin, rosy cheeks, fuller lips' colour, bright larger eyes, hair with colour and shine."""
    import cv2

    parts = scene.regions
    px = scene.px_per_cm
    lab = to_lab(picture)
    # Skin: folds and blemishes are what is smaller than a centimetre and darker than what is around.
    features = cv2.GaussianBlur((parts.face - parts.skin).clip(0.0, 1.0), (0, 0), 0.15 * px)
    bare = (parts.skin * (1.0 - features)).clip(0.0, 1.0)
    smooth = cv2.bilateralFilter(lab, 0, 9.0, 0.55 * px)
    lifted = smooth.copy()
    broad = cv2.GaussianBlur(smooth[..., 0] * bare, (0, 0), 0.9 * px) / (cv2.GaussianBlur(bare, (0, 0), 0.9 * px) + 1e-3)
    lifted[..., 0] += 0.6 * (broad - smooth[..., 0]).clip(0.0, 8.0)
    lab = mix(lab, lifted, (0.9 * bare).astype(np.float32))
    skin_mean = mean_in(lab, parts.skin)
    cheeks = np.maximum(*(laid_spot(scene, (side * 6.2, 1.4), (2.3, 1.7)) for side in (-1.0, 1.0)))
    rosy = lab.copy()
    rosy[..., 0] += (4.0 * (82.0 - skin_mean[0]) / 30.0).clip(0.0, 4.0)
    rosy[..., 1] += (15.0 - skin_mean[1]).clip(0.0, 4.0) + (26.0 - lab[..., 1]).clip(0.0, 12.0) * 0.8 * cheeks
    lab = mix(lab, rosy, (parts.skin).astype(np.float32))
    lips = lab.copy()
    lips[..., 1] += (34.0 - lab[..., 1]).clip(0.0, 14.0)
    lips[..., 2] += (14.0 - lab[..., 2]).clip(-4.0, 4.0)
    lab = mix(lab, lips, (0.7 * parts.lips).astype(np.float32))
    eyes = lab.copy()
    eyes[..., 0] = 55.0 + (lab[..., 0] - 55.0) * 1.18 + 3.0
    eyes[..., 1:] *= 1.15
    lab = mix(lab, eyes, (parts.eyes).astype(np.float32))
    hair_mean = mean_in(lab, parts.hair)
    hair = lab.copy()
    hair[..., 0] = hair_mean[0] + (lab[..., 0] - hair_mean[0]) * 1.15
    hair[..., 1] += (7.0 - hair_mean[1]).clip(0.0, 6.0) * 0.8
    hair[..., 2] += (18.0 - hair_mean[2]).clip(0.0, 12.0)
    lab = mix(lab, hair, (0.8 * parts.hair).astype(np.float32))
    return _larger_eyes(from_lab(lab), scene)


def _larger_eyes(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    import cv2

    height, width = scene.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    from_x, from_y = x.copy(), y.copy()
    for corners in (RIGHT_EYE, LEFT_EYE):
        cx, cy = scene.landmarks[list(corners)].mean(0) - 0.5
        share = (1.0 - ((x - cx) ** 2 + (y - cy) ** 2) / (EYE_REACH_CM * scene.px_per_cm) ** 2).clip(0.0, 1.0) ** 2
        pull = (1.0 - 1.0 / (1.0 + EYES_GROW)) * share
        from_x -= (x - cx) * pull
        from_y -= (y - cy) * pull
    return np.asarray(cv2.remap(picture, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32)
