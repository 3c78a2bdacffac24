"""A zombie: grey-green rotting skin, sunken eyes gone milky, dark veins, a stitched cut, dull hair. Clothes and background stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from editing.image_editors.builtin.colour import from_lab, lab_of, luma, mean_in, mix, smoothstep, to_lab
from editing.image_editors.builtin.skin_atlas import age_patterns, dead_patterns, laid_on, laid_spot

if TYPE_CHECKING:
    from jaxtyping import Float32

    from editing.image_editors.builtin.scene import Scene

SKIN, ROT, VEIN, BLOOD, SOCKET = 0x848F72, 0x5C603E, 0x34424A, 0x600E10, 0x30242C
SOCKETS_CM = ((-4.1, -2.3), (4.1, -2.3))


def zombie(picture: Float32[np.ndarray, "h w 3"], scene: Scene) -> Float32[np.ndarray, "h w 3"]:
    """See the module."""
    parts = scene.regions
    lab = to_lab(picture)
    mean = mean_in(lab, parts.skin)
    skin = (parts.skin + (parts.eye_rims - parts.eyes).clip(0.0, 1.0) * parts.face * (1.0 - parts.brows)).clip(0.0, 1.0)
    dead = lab.copy()
    goal = lab_of(SKIN)
    dead[..., 0] = goal[0] + (lab[..., 0] - mean[0]) * 1.12
    dead[..., 1:] = goal[1:] + 0.25 * (lab[..., 1:] - mean[1:])
    dead[..., 1] += 1.6 * scene.noise(121, 1.4, 3)
    dead[..., 0] += 1.8 * scene.noise(122, 0.8, 3)
    sunken = np.maximum(*(laid_spot(scene, middle, (1.9, 1.5)) for middle in SOCKETS_CM))
    hollows = laid_on(age_patterns(scene.seed).hollows, scene)
    dead[..., 0] += 26.0 * hollows
    dead = _tinted(dead, SOCKET, 0.72 * sunken)
    rot = smoothstep(0.9, 1.9, scene.noise(123, 1.8, 3))
    dead = _tinted(dead, ROT, 0.75 * rot)
    patterns = dead_patterns(scene.seed)
    dead = _tinted(dead, VEIN, 0.62 * laid_on(patterns.veins, scene))
    scar = laid_on(patterns.scar, scene)
    dead = _tinted(dead, BLOOD, 0.85 * scar)
    lab = mix(lab, dead, (skin).astype(np.float32))
    lips = lab.copy()
    lips[..., 1:] = np.array([4.0, 2.0], np.float32) + 0.2 * (lab[..., 1:] - mean_in(lab, parts.lips)[1:])
    lips[..., 0] = lab[..., 0] * 0.8
    lab = mix(lab, lips, (0.85 * parts.lips).astype(np.float32))
    teeth = lab * np.array([0.88, 1.0, 1.0], np.float32) + np.array([0.0, 0.0, 9.0], np.float32)
    lab = mix(lab, teeth, (parts.mouth * smoothstep(0.25, 0.5, luma(picture))).astype(np.float32))
    milky = lab.copy()
    milky[..., 0] = 66.0 + 0.42 * (lab[..., 0] - 62.0)
    milky[..., 1:] = np.array([-2.0, 5.0], np.float32) + 0.2 * lab[..., 1:]
    lab = mix(lab, milky, (0.85 * parts.eyes).astype(np.float32))
    brows = lab * np.array([0.8, 0.15, 0.2], np.float32)
    lab = mix(lab, brows, (parts.brows).astype(np.float32))
    hair_mean = mean_in(lab, parts.hair)
    hair = lab * np.array([0.72, 0.3, 0.35], np.float32)
    hair[..., 1] -= 2.0
    lab = mix(lab, hair, (float(smoothstep(12.0, 30.0, hair_mean[:1])[0]) * parts.hair).astype(np.float32))
    return from_lab(lab)


def _tinted(lab: Float32[np.ndarray, "h w 3"], colour: int, share: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 3"]:
    return mix(lab, np.broadcast_to(lab_of(colour), lab.shape), share.clip(0.0, 1.0).astype(np.float32))
